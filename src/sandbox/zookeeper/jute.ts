import type { ZnodeAcl, ZnodeStat } from "../znode-tree.js";

/** Thrown when bytes violate the protocol; the connection is then unusable. */
export class JuteError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "JuteError";
  }
}

/** Reads ZooKeeper's serialization (jute) from one frame: big-endian, length-prefixed, no tags. */
export class JuteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Unread bytes. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  int(): number {
    return this.#take(4).readInt32BE();
  }

  long(): bigint {
    return this.#take(8).readBigInt64BE();
  }

  bool(): boolean {
    return this.#take(1).readInt8() !== 0;
  }

  /** A byte string; the length -1 (absent) reads as empty. */
  buffer(): Buffer {
    const length = this.int();
    return Buffer.from(this.#take(length === -1 ? 0 : length));
  }

  text(): string {
    return this.buffer().toString("utf8");
  }

  /** A vector whose items `item` reads; the length -1 (absent) reads as empty. */
  list<T>(item: (reader: JuteReader) => T): T[] {
    const length = this.int();
    // No item is shorter than 4 bytes, so an impossible length is refused before allocation.
    if (length * 4 > this.left)
      throw new JuteError(`vector of ${length} items in ${this.left} bytes`);
    return Array.from({ length: Math.max(0, length) }, () => item(this));
  }

  acls(): ZnodeAcl[] {
    return this.list((from) => ({ perms: from.int(), scheme: from.text(), id: from.text() }));
  }

  #take(length: number): Buffer {
    if (length < 0 || length > this.left) {
      throw new JuteError(`${length} bytes wanted, ${this.left} left`);
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

/** Writes ZooKeeper's serialization; `frame()` gives the bytes with their length prefix. */
export class JuteWriter {
  readonly #parts: Buffer[] = [];

  int(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return this.#push(bytes);
  }

  long(value: bigint): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64BE(BigInt.asIntN(64, value));
    return this.#push(bytes);
  }

  bool(value: boolean): this {
    return this.#push(Buffer.from([value ? 1 : 0]));
  }

  buffer(value: Buffer): this {
    return this.int(value.length).#push(value);
  }

  text(value: string): this {
    return this.buffer(Buffer.from(value, "utf8"));
  }

  texts(values: readonly string[]): this {
    this.int(values.length);
    for (const value of values) this.text(value);
    return this;
  }

  stat(stat: ZnodeStat): this {
    this.long(stat.czxid).long(stat.mzxid);
    this.long(BigInt(Math.floor(stat.ctime))).long(BigInt(Math.floor(stat.mtime)));
    // The third version counts changes of the access list, which this tree does not allow.
    this.int(stat.version).int(stat.cversion).int(0);
    this.long(stat.ephemeralOwner).int(stat.dataLength).int(stat.numChildren);
    return this.long(stat.pzxid);
  }

  frame(): Buffer {
    const body = Buffer.concat(this.#parts);
    const prefix = Buffer.alloc(4);
    prefix.writeInt32BE(body.length);
    return Buffer.concat([prefix, body]);
  }

  #push(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }
}
