import { createHash } from "node:crypto";
import type { Znode, ZnodeAcl, ZnodeEvent, ZnodeTree } from "../znode-tree.js";
import { ZNODE_ERRORS, ZnodeError } from "../znode-tree.js";
import type { JuteReader } from "./jute.js";
import { JuteWriter } from "./jute.js";

/** Request types of the ZooKeeper protocol that need the connection itself, not only the tree. */
export const OP = { ping: 11, auth: 100, closeSession: -11 } as const;
const NO_NODE = ZNODE_ERRORS["no-node"];
const UNIMPLEMENTED = -6;
const NO_AUTH = -102;
const INVALID_ACL = -114;
/** The answer to an unknown scheme or to credentials that its scheme refuses. */
const AUTH_FAILED = -115;

const PERMS = { read: 1, write: 2, create: 4, delete: 8 } as const;
const EVENT_TYPES = { created: 1, deleted: 2, changed: 3, children: 4 } as const;
const WATCH_XID = -1;
const STATE_CONNECTED = 3;

/** A connection, as requests use it. */
export interface ZkPeer {
  readonly session: bigint;
  /** Identities proven by addauth on this connection. */
  readonly identities: { readonly scheme: string; readonly id: string }[];
  send(frame: Buffer): void;
}

class Refusal extends Error {
  readonly number: number;
  constructor(number: number) {
    super(`error ${number}`);
    this.number = number;
  }
}

type Handler = (peer: ZkPeer, from: JuteReader, to: JuteWriter) => void;

/** Answers ZooKeeper's requests from a tree, and notifies connections about watched changes. */
export class ZkRequests {
  readonly #tree: ZnodeTree;
  readonly #dataWatches = new Map<string, Set<ZkPeer>>();
  readonly #childWatches = new Map<string, Set<ZkPeer>>();
  readonly #handlers: ReadonlyMap<number, Handler>;
  readonly #stopListening: () => void;

  constructor(tree: ZnodeTree) {
    this.#tree = tree;
    this.#handlers = this.#makeHandlers();
    this.#stopListening = tree.onChange((event) => this.#onChange(event));
  }

  /**
   * Serves one request; the answer includes its header.
   *
   * @param type Request type; an unknown one is answered with "unimplemented", as ZooKeeper does.
   * @param from Positioned after the request's header.
   * @throws JuteError if the body does not match the type.
   */
  answer(peer: ZkPeer, xid: number, type: number, from: JuteReader): Buffer {
    const body = new JuteWriter();
    let error = 0;
    try {
      const handler = this.#handlers.get(type);
      if (handler === undefined) throw new Refusal(UNIMPLEMENTED);
      handler(peer, from, body);
    } catch (thrown) {
      if (thrown instanceof Refusal) error = thrown.number;
      else if (thrown instanceof ZnodeError) error = ZNODE_ERRORS[thrown.reason];
      else throw thrown;
    }
    return replyFrame(xid, this.#tree.zxid, error, error === 0 ? body : undefined);
  }

  /**
   * Handles an addauth request.
   *
   * @returns 0, or the error number for a scheme other than digest.
   */
  authenticate(peer: ZkPeer, from: JuteReader): number {
    from.int();
    const scheme = from.text();
    const secret = from.text();
    if (scheme !== "digest") return AUTH_FAILED;
    const user = secret.split(":", 1)[0] ?? "";
    const digest = createHash("sha1").update(secret).digest("base64");
    peer.identities.push({ scheme, id: `${user}:${digest}` });
    return 0;
  }

  /** Removes the watches of a closed connection. */
  forget(peer: ZkPeer): void {
    for (const watches of [this.#dataWatches, this.#childWatches]) {
      for (const peers of watches.values()) peers.delete(peer);
    }
  }

  /** Stops listening to the tree. */
  close(): void {
    this.#stopListening();
  }

  #makeHandlers(): ReadonlyMap<number, Handler> {
    return new Map<number, Handler>([
      [1, (peer, from, to) => this.#create(peer, from, to, false)],
      [2, (peer, from) => this.#delete(peer, from)],
      [3, (peer, from, to) => this.#exists(peer, from, to)],
      [4, (peer, from, to) => this.#getData(peer, from, to)],
      [5, (peer, from, to) => this.#setData(peer, from, to)],
      [8, (peer, from, to) => void this.#getChildren(peer, from, to)],
      [9, (_peer, from, to) => void to.text(from.text())],
      [12, (peer, from, to) => void to.stat(this.#getChildren(peer, from, to).stat)],
      [15, (peer, from, to) => this.#create(peer, from, to, true)],
      [101, (peer, from) => this.#setWatches(peer, from)],
    ]);
  }

  #create(peer: ZkPeer, from: JuteReader, to: JuteWriter, withStat: boolean): void {
    const path = from.text();
    const data = from.buffer();
    const acl = resolveAcl(peer, from.acls());
    const flags = from.int();
    // 4 and above: containers and nodes with a time to live.
    if (flags < 0 || flags > 3) throw new Refusal(UNIMPLEMENTED);
    const parent = path.slice(0, Math.max(1, path.lastIndexOf("/")));
    this.#need(peer, parent, PERMS.create);
    const ephemeralOwner = flags & 1 ? peer.session : 0n;
    const made = this.#tree.create(path, data, { ephemeralOwner, sequential: flags >= 2, acl });
    to.text(made);
    const node = this.#tree.get(made);
    if (withStat && node) to.stat(node.stat);
  }

  #delete(peer: ZkPeer, from: JuteReader): void {
    const path = from.text();
    const version = from.int();
    if (this.#tree.get(path) === undefined) throw new Refusal(NO_NODE);
    // The right to delete is a right on the parent.
    this.#need(peer, path.slice(0, Math.max(1, path.lastIndexOf("/"))), PERMS.delete);
    this.#tree.remove(path, version);
  }

  #exists(peer: ZkPeer, from: JuteReader, to: JuteWriter): void {
    const path = from.text();
    if (from.bool()) addTo(this.#dataWatches, path, peer);
    const node = this.#tree.get(path);
    if (node === undefined) throw new Refusal(NO_NODE);
    to.stat(node.stat);
  }

  #getData(peer: ZkPeer, from: JuteReader, to: JuteWriter): void {
    const path = from.text();
    const node = this.#need(peer, path, PERMS.read);
    if (from.bool()) addTo(this.#dataWatches, path, peer);
    to.buffer(node.data).stat(node.stat);
  }

  #setData(peer: ZkPeer, from: JuteReader, to: JuteWriter): void {
    const path = from.text();
    const data = from.buffer();
    this.#need(peer, path, PERMS.write);
    to.stat(this.#tree.setData(path, data, from.int()));
  }

  #getChildren(peer: ZkPeer, from: JuteReader, to: JuteWriter): Znode {
    const path = from.text();
    const node = this.#need(peer, path, PERMS.read);
    if (from.bool()) addTo(this.#childWatches, path, peer);
    to.texts(this.#tree.children(path) ?? []);
    return node;
  }

  /** A client's request after a reconnect: its watches, some of which may have fired meanwhile. */
  #setWatches(peer: ZkPeer, from: JuteReader): void {
    const seen = from.long();
    const restore = (
      watches: Map<string, Set<ZkPeer>>,
      happened: (node: Znode | undefined) => ZnodeEvent["type"] | undefined,
    ) => {
      for (const path of from.list((item) => item.text())) {
        const type = happened(this.#tree.get(path));
        if (type) notify(peer, { type, path });
        else addTo(watches, path, peer);
      }
    };
    const ifNewer = (zxid: bigint, type: ZnodeEvent["type"]) => (zxid > seen ? type : undefined);
    restore(this.#dataWatches, (node) => (node ? ifNewer(node.stat.mzxid, "changed") : "deleted"));
    restore(this.#dataWatches, (node) => (node ? "created" : undefined));
    restore(this.#childWatches, (node) =>
      node ? ifNewer(node.stat.pzxid, "children") : "deleted",
    );
  }

  #need(peer: ZkPeer, path: string, perm: number): Znode {
    const node = this.#tree.get(path);
    if (node === undefined) throw new Refusal(NO_NODE);
    const open = (acl: ZnodeAcl) => acl.scheme === "world" && acl.id === "anyone";
    const owns = (acl: ZnodeAcl) =>
      peer.identities.some(({ scheme, id }) => scheme === acl.scheme && id === acl.id);
    if (!node.acl.some((acl) => (acl.perms & perm) !== 0 && (open(acl) || owns(acl)))) {
      throw new Refusal(NO_AUTH);
    }
    return node;
  }

  /** A watch fires once; a connection that watches data and children gets one event for a removal. */
  #onChange(event: ZnodeEvent): void {
    const peers = new Set<ZkPeer>();
    const collect = (watches: Map<string, Set<ZkPeer>>) => {
      for (const peer of watches.get(event.path) ?? []) peers.add(peer);
      watches.delete(event.path);
    };
    if (event.type !== "children") collect(this.#dataWatches);
    if (event.type === "children" || event.type === "deleted") collect(this.#childWatches);
    for (const peer of peers) notify(peer, event);
  }
}

/** A reply: the header, and the body if any. */
export function replyFrame(xid: number, zxid: bigint, error: number, body?: JuteWriter): Buffer {
  const header = new JuteWriter().int(xid).long(zxid).int(error).frame();
  if (body === undefined) return header;
  const payload = body.frame().subarray(4);
  const frame = Buffer.concat([header, payload]);
  frame.writeInt32BE(frame.length - 4);
  return frame;
}

function notify(peer: ZkPeer, event: ZnodeEvent): void {
  const body = new JuteWriter().int(EVENT_TYPES[event.type]).int(STATE_CONNECTED).text(event.path);
  peer.send(replyFrame(WATCH_XID, -1n, 0, body));
}

/** Scheme "auth" stands for all identities that the creator has proven. */
function resolveAcl(peer: ZkPeer, acl: readonly ZnodeAcl[]): readonly ZnodeAcl[] {
  const resolved = acl.flatMap((entry) =>
    entry.scheme === "auth"
      ? peer.identities.map(({ scheme, id }) => ({ perms: entry.perms, scheme, id }))
      : [entry],
  );
  const known = (entry: ZnodeAcl) => entry.scheme === "world" || entry.scheme === "digest";
  if (resolved.length === 0 || !resolved.every(known)) throw new Refusal(INVALID_ACL);
  return resolved;
}

function addTo(watches: Map<string, Set<ZkPeer>>, path: string, peer: ZkPeer): void {
  const peers = watches.get(path) ?? new Set<ZkPeer>();
  watches.set(path, peers.add(peer));
}
