import type { HttpHandler } from "../../src/runtime/http_host.ts";

const json = (status: number, body: Record<string, string | number>): Response =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });

/** For a handler that threw: says nothing about the inside. */
export const internalError = (): Response => json(500, { error: "internal error", code: "internal" });

/** For a request that cannot be made into a Request: a bad Host header or target. */
export const badRequest = (): Response => json(400, { error: "malformed request", code: "bad_request" });

/** For a body whose announced length is over the limit; it was not read. */
export const payloadTooLarge = (bytesMax: number): Response =>
  json(413, {
    error: `the request body is larger than ${bytesMax} bytes`,
    code: "payload_too_large",
    bytesMax,
  });

/** For a request that comes while the server closes. */
export function closing(): Response {
  const response = json(503, { error: "the server is closing", code: "closing" });
  response.headers.set("connection", "close");
  return response;
}

/** Calls the handler; whatever it throws becomes a 500. Adds no promise when the handler answers at once. */
export function answer(
  handler: HttpHandler,
  request: Request,
  peer: { readonly hostname: string },
): Response | Promise<Response> {
  try {
    const response = handler(request, peer);
    return response instanceof Promise ? response.catch(internalError) : response;
  } catch {
    return internalError();
  }
}
