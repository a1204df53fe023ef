/** A TCP proxy on loopback that swallows the first message of one type, and cuts the connection there. */
import type { Socket } from "node:net";
import { connect, createServer } from "node:net";

export interface FrameProxy {
  readonly port: number;
  /** From now on; `type` as it stands in the message. */
  swallow(type: string): void;
  readonly swallowed: number;
  close(): void;
}

/** What the codec writes for a short text. */
function encoded(text: string): Buffer {
  return Buffer.concat([Buffer.of(0x60 + text.length), Buffer.from(text)]);
}

/** Passes connections on to `target`. Nothing here is encrypted, so a message is known by its bytes. */
export async function frameProxy(target: number): Promise<FrameProxy> {
  const sockets = new Set<Socket>();
  let wanted: Buffer | null = null, swallowed = 0;
  const pass = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.on("error", () => {});
    from.on("close", () => {
      sockets.delete(from);
      to.destroy();
    });
    from.on("data", (bytes: Buffer) => {
      if (wanted === null || !bytes.includes(wanted)) return void to.write(bytes);
      wanted = null;
      swallowed++;
      from.destroy();
      to.destroy();
    });
  };
  const server = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    pass(near, far);
    pass(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return {
    port: address.port,
    swallow(type) {
      wanted = encoded(type);
    },
    get swallowed() {
      return swallowed;
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
