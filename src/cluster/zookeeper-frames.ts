/**
 * The largest accepted answer of ZooKeeper: 32 MiB. A server's own limit for one znode is 1 MiB by default
 * (jute.maxbuffer); a list of 150,000 children has about 5 MB.
 */
const MAX_FRAME_BYTES = 32 * 1024 * 1024;
const PASSWORD_BYTES = 16;
/** A shorter session timeout is treated as garbage: the client would ping without a pause. */
const SESSION_TIMEOUT_MIN_MS = 100;

/** Bytes that are not ZooKeeper's protocol; the message follows the server's name in a sentence. */
export class FrameError extends Error {}

/** Splits the bytes of one connection into frames. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #length = 0;

  /** Adds received bytes. */
  push(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
  }

  /**
   * Returns and removes the next frame, including its length prefix.
   *
   * @param isGreeting True if the answer to the connect request is expected, which has a fixed shape: version 0,
   *   timeout, session id, 16 bytes of password, and optionally a read-only flag.
   * @returns Undefined while no frame is complete.
   * @throws FrameError if the bytes are not ZooKeeper's protocol.
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

  /** The first bytes as one buffer. The chunks are joined once for a frame, not once for each chunk. */
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
  // A timeout of 0 or less means that the session has expired.
  const isTimeout = timeoutMs <= 0 || timeoutMs >= SESSION_TIMEOUT_MIN_MS;
  if (version !== 0 || !isTimeout || frame.readInt32BE(20) !== PASSWORD_BYTES) {
    throw notZooKeeper();
  }
}

function notZooKeeper(): FrameError {
  return new FrameError("answers, but is not ZooKeeper");
}
