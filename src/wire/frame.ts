import { crc32 } from "../base/crc32.ts";
import { DfdbError } from "../base/errors.ts";

/** Bytes before the body. */
export const frameHeaderBytes = 16;

/** Bodies from a follower after the handshake are never larger. */
export const followerBodyBytesMax = 64 * 1024;

const framingVersion = 2;
const magic = Uint8Array.of(0xdf, 0xdb, 0x0d, 0x0a);
/** A body up to this size gets its buffer at once; a larger one as its bytes arrive. */
const eagerBytes = 2 * 1024 * 1024;

/** Writes the header into the first bytes of `frame`, whose rest is the body. */
export function sealFrame(frame: Uint8Array): Uint8Array {
  const header = new DataView(frame.buffer, frame.byteOffset, frameHeaderBytes);
  frame.set(magic, 0);
  header.setUint8(4, framingVersion);
  header.setUint8(5, 0);
  header.setUint16(6, 0);
  header.setUint32(8, frame.length - frameHeaderBytes);
  header.setUint32(12, crc32(frame.subarray(frameHeaderBytes)));
  header.setUint16(6, headerCheck(frame.subarray(0, frameHeaderBytes)));
  return frame;
}

/** Of a header whose check is 0: a length that changed on the way would make the receiver wait for bytes that never come. */
function headerCheck(header: Uint8Array): number {
  return crc32(header) & 0xffff;
}

/** One frame around `body`. */
export function encodeFrame(body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(frameHeaderBytes + body.length);
  frame.set(body, frameHeaderBytes);
  return sealFrame(frame);
}

/**
 * Cuts a byte stream into bodies, however it is divided. Holds at most one unfinished body, and of that no more than
 * twice what has arrived (2 MiB at least).
 */
export interface FrameDecoder {
  /** Gives the next piece of the stream; only when `next` has returned null. */
  push(chunk: Uint8Array): void;
  /**
   * The next whole body, or null when more bytes are needed. A body may share memory with its chunk.
   * Throws DfdbError `bad_frame` or `version`, then at every further call.
   */
  next(): Uint8Array | null;
  /** Largest body accepted from here on, bytes. */
  bodyBytesMax: number;
  /** True while a part of a frame is held. */
  readonly unfinished: boolean;
}

const nothing = new Uint8Array(0);

/** A decoder that accepts bodies up to `bodyBytesMax` bytes. */
export function frameDecoder(bodyBytesMax: number): FrameDecoder {
  return new Decoder(bodyBytesMax);
}

class Decoder implements FrameDecoder {
  bodyBytesMax: number;
  readonly #header = new Uint8Array(frameHeaderBytes);
  #headerHave = 0;
  #chunk: Uint8Array = nothing;
  #at = 0;
  #bodyBytes = 0;
  #crc = 0;
  #body: Uint8Array = nothing;
  #bodyHave = 0;
  #failure: DfdbError | null = null;

  constructor(bodyBytesMax: number) {
    this.bodyBytesMax = bodyBytesMax;
  }

  get unfinished(): boolean {
    return this.#headerHave > 0;
  }

  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  next(): Uint8Array | null {
    if (this.#failure !== null) throw this.#failure;
    try {
      return this.#next();
    } catch (thrown) {
      if (thrown instanceof DfdbError) this.#failure = thrown;
      this.#chunk = nothing;
      this.#body = nothing;
      throw thrown;
    }
  }

  #next(): Uint8Array | null {
    if (this.#headerHave < frameHeaderBytes && !this.#readHeader()) return null;
    const body = this.#readBody();
    if (body === null) return null;
    if (crc32(body) !== this.#crc) {
      throw new DfdbError("bad_frame", "a frame's checksum does not fit its bytes");
    }
    this.#headerHave = 0;
    this.#bodyHave = 0;
    this.#body = nothing;
    if (this.#at === this.#chunk.length) {
      this.#chunk = nothing;
      this.#at = 0;
    }
    return body;
  }

  /** True when the header is whole; it has been judged then. */
  #readHeader(): boolean {
    const take = Math.min(frameHeaderBytes - this.#headerHave, this.#chunk.length - this.#at);
    this.#header.set(this.#chunk.subarray(this.#at, this.#at + take), this.#headerHave);
    this.#headerHave += take;
    this.#at += take;
    const have = this.#headerHave;
    for (let i = 0; i < Math.min(have, magic.length); i++) {
      if (this.#header[i] !== magic[i]) throw notOurs(this.#header.subarray(0, have));
    }
    if (have < frameHeaderBytes) return false;
    const view = new DataView(this.#header.buffer);
    if (view.getUint8(4) !== framingVersion) {
      throw new DfdbError(
        "version",
        `the peer frames in version ${view.getUint8(4)}, this node in ${framingVersion}`,
      );
    }
    const check = view.getUint16(6);
    view.setUint16(6, 0);
    if (check !== headerCheck(this.#header)) {
      throw new DfdbError("bad_frame", "the checksum of a frame's header does not fit its bytes");
    }
    if (view.getUint8(5) !== 0) {
      throw new DfdbError("bad_frame", "a frame has flags that this version does not know");
    }
    this.#bodyBytes = view.getUint32(8);
    this.#crc = view.getUint32(12);
    if (this.#bodyBytes === 0 || this.#bodyBytes > this.bodyBytesMax) {
      throw new DfdbError(
        "bad_frame",
        `a frame of ${this.#bodyBytes} bytes; 1 to ${this.bodyBytesMax} are allowed here`,
      );
    }
    return true;
  }

  #readBody(): Uint8Array | null {
    const waiting = this.#chunk.length - this.#at;
    if (this.#bodyHave === 0 && waiting >= this.#bodyBytes) {
      const body = this.#chunk.subarray(this.#at, this.#at + this.#bodyBytes);
      this.#at += this.#bodyBytes;
      return body;
    }
    const take = Math.min(waiting, this.#bodyBytes - this.#bodyHave);
    if (take > 0) {
      this.#reserve(this.#bodyHave + take);
      this.#body.set(this.#chunk.subarray(this.#at, this.#at + take), this.#bodyHave);
      this.#bodyHave += take;
      this.#at += take;
    }
    if (this.#bodyHave < this.#bodyBytes) {
      this.#chunk = nothing; // all of it was copied
      this.#at = 0;
      return null;
    }
    return this.#body;
  }

  /** Doubles, so that the copying stays linear, but never allocates a large body on the word of its header. */
  #reserve(bytes: number): void {
    if (this.#body.length >= bytes) return;
    const wanted = Math.max(eagerBytes, 2 * this.#body.length, bytes);
    const larger = new Uint8Array(Math.min(this.#bodyBytes, wanted));
    larger.set(this.#body.subarray(0, this.#bodyHave));
    this.#body = larger;
  }
}

function notOurs(start: Uint8Array): DfdbError {
  const text = String.fromCharCode(...start);
  if (text.startsWith("HTTP")) {
    return new DfdbError(
      "bad_frame",
      "the peer answers in HTTP: this is its HTTP port; the replication port is another one",
    );
  }
  if (/^(GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|CONNECT|TRACE|PRI) ?/.test(text)) {
    return new DfdbError(
      "bad_frame",
      "the peer speaks HTTP: this is the replication port; the HTTP API is on another one",
    );
  }
  return new DfdbError("bad_frame", "the peer does not speak the replication protocol");
}
