/**
 * The largest answer of ZooKeeper that is taken: 32 MiB. A server's own limit for one znode is 1 MiB by
 * default (jute.maxbuffer); a list of 150,000 children is some 5 MB.
 */
const MAX_FRAME_BYTES = 32 * 1024 * 1024;
const PASSWORD_BYTES = 16;
/** No server that is in its right mind ends sessions sooner; the client would ping without a pause. */
const SESSION_TIMEOUT_MIN_MS = 100;

/** Bytes that cannot be ZooKeeper's; the message fits behind the server's name. */
export class FrameError extends Error {}

/** Cuts what is received on one connection into frames. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #length = 0;

  /** Adds bytes as they come. */
  push(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
  }

  /**
   * Takes the next frame, with its length prefix.
   *
   * @param isGreeting Whether the answer to the connect request is awaited, which has a fixed shape:
   *   version 0, timeout, session id, 16 bytes of password, and perhaps a read-only mark.
   * @returns Undefined while no frame is complete.
   * @throws FrameError if this cannot be ZooKeeper's.
   */
  next(isGreeting: boolean): Buffer | undefined {
    if (this.#length < 4) return undefined;
    const length = this.#peek(4).readInt32BE();
    const [min, max] = isGreeting ? [36, 37] : [16, MAX_FRAME_BYTES];
    if (!isGreeting && length > max) {
      throw new FrameError(`announces an answer of ${length} bytes, more than is accepted`);
    }
    if (length < min || length > max) throw notZooKeeper();
    if (this.#length < 4 + length) return undefined;
    const all = this.#peek(this.#length);
    const frame = all.subarray(0, 4 + length);
    const rest = all.subarray(4 + length);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#length = rest.length;
    if (isGreeting) assertGreeting(frame);
    return frame;
  }

  /** The first bytes in one piece: the chunks are joined once for a frame, not once for each chunk. */
  #peek(count: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= count) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}

function assertGreeting(frame: Buffer): void {
  const version = frame.readInt32BE(4);
  const timeoutMs = frame.readInt32BE(8);
  // A timeout of 0 or less says that the session has expired.
  const isTimeout = timeoutMs <= 0 || timeoutMs >= SESSION_TIMEOUT_MIN_MS;
  if (version !== 0 || !isTimeout || frame.readInt32BE(20) !== PASSWORD_BYTES) {
    throw notZooKeeper();
  }
}

function notZooKeeper(): FrameError {
  return new FrameError("answers, but is not ZooKeeper");
}
