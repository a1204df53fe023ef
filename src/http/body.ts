import { concat } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";

/**
 * The whole body as it was sent. Throws `payload_too_large` beyond `bytesMax`: before anything is read when the
 * length was announced, else as soon as it shows. At most one chunk more than `bytesMax` is ever held.
 */
export function readBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  const headers = request.headers;
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding !== "" && encoding.toLowerCase() !== "identity") {
    throw new DfdbError(
      "bad_request",
      "Compressed request bodies are not taken; send it without Content-Encoding",
    );
  }
  const announced = headers.get("content-length");
  if (announced === null) return readChunks(request.body, bytesMax);
  const length = /^\d{1,15}$/.test(announced) ? Number(announced) : Number.NaN;
  if (Number.isNaN(length)) throw new DfdbError("bad_request", "Content-Length is not a number");
  if (length > bytesMax) throw tooLarge(bytesMax);
  return request.arrayBuffer().then((buffer) => checked(new Uint8Array(buffer), bytesMax), brokenOff);
}

/** As {@linkcode readBody}, but no body is an empty one. */
export async function readOptionalBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  try {
    return await readBody(request, bytesMax);
  } catch (error) {
    if (error instanceof NoBody) return new Uint8Array();
    throw error;
  }
}

class NoBody extends DfdbError {
  constructor() {
    super("bad_request", "The request has no body");
  }
}

function checked(bytes: Uint8Array, bytesMax: number): Uint8Array {
  if (bytes.length > bytesMax) throw tooLarge(bytesMax);
  if (bytes.length === 0) throw new NoBody();
  return bytes;
}

async function readChunks(body: ReadableStream<Uint8Array> | null, bytesMax: number): Promise<Uint8Array> {
  if (body === null) throw new NoBody();
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(brokenOff);
    if (done) break;
    length += value.length;
    if (length > bytesMax) {
      reader.cancel().catch(() => {}); // what is still to come belongs to nobody
      throw tooLarge(bytesMax);
    }
    chunks.push(value);
  }
  if (length === 0) throw new NoBody();
  return chunks.length === 1 ? chunks[0] as Uint8Array : concat(chunks);
}

function brokenOff(cause: unknown): never {
  throw new DfdbError("bad_request", "The request body broke off", { cause });
}

function tooLarge(bytesMax: number): DfdbError {
  return new DfdbError("payload_too_large", `The request body is larger than ${bytesMax} bytes`, {
    details: { bytesMax },
  });
}
