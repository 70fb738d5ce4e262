import type { DescService } from "@bufbuild/protobuf";
import { authorizationFor } from "../../cluster/authorization.js";
import { TabletServer } from "../../gen/openmldb/api_pb.js";
import { NameServer } from "../../gen/openmldb/nameserver_pb.js";
import { SandboxModel } from "../model/model.js";
import type { ModelConfig } from "../model/model-types.js";
import type { SandboxProcess } from "../model/process.js";
import type { WireProcess } from "./grpc-server.js";

/** The ports of a model's processes. */
export class WireFace {
  readonly #wires: readonly WireProcess[];
  readonly #credentials: ReadonlySet<string> | undefined;
  /** By address: settles when the process listens. */
  readonly #restarts = new Map<string, Promise<void>>();

  /**
   * @param wires One for each process of the model to come; told apart by their addresses.
   * @param auth If given, calls must carry the service token or this user's credentials.
   */
  constructor(
    wires: readonly WireProcess[],
    auth: { readonly user: string; readonly password: string } | undefined,
  ) {
    this.#wires = wires;
    this.#credentials = auth && new Set([authorizationFor({}), authorizationFor(auth)]);
  }

  /** Starts to answer for all processes of a model. */
  serve(model: SandboxModel): void {
    for (const process of model.processes) this.serveProcess(model, process);
    this.sync(model);
  }

  /**
   * A process has moved: answers at its new address, which has a port, and no longer at the old one.
   *
   * @throws Error if the model has no process at `address`.
   */
  move(model: SandboxModel, old: string, address: string): void {
    this.#wire(old)?.kill();
    this.serveProcess(model, model.process(address));
    this.sync(model);
  }

  /** Starts to answer for a process of the model whose address has a port. */
  serveProcess(model: SandboxModel, { address, tablet }: SandboxProcess): void {
    const service: DescService = tablet === undefined ? NameServer : TabletServer;
    this.#wire(address)?.serve({
      service,
      answer: (method, request) => model.call(address, method, request),
      credentials: this.#credentials,
    });
  }

  /** Opens and closes ports to match the states of the processes. */
  sync(model: SandboxModel): void {
    for (const { address, isUp, isHung } of model.processes) {
      const wire = this.#wire(address);
      if (wire === undefined) continue;
      if (!isUp) {
        wire.kill();
        continue;
      }
      const listening = wire.restart();
      // The error reaches the caller of `settled`.
      listening.catch(() => undefined);
      this.#restarts.set(address, listening);
      if (isHung) wire.hang();
      else wire.resume();
    }
  }

  /**
   * Resolves when all ports match the states of the processes.
   *
   * @throws Error of the system if a port was lost.
   */
  async settled(): Promise<void> {
    await Promise.all(this.#restarts.values());
  }

  #wire(address: string): WireProcess | undefined {
    return this.#wires.find((wire) => wire.address === address);
  }
}

/**
 * A model that keeps its ports in line with its processes. Every change of a process is logged, so the
 * log is the hook.
 */
export class WiredModel extends SandboxModel {
  readonly #wire: WireFace;

  /** @param wire Has a port for each process; starts to serve the model. */
  constructor(config: ModelConfig, wire: WireFace) {
    super(config);
    this.#wire = wire;
    wire.serve(this);
  }

  /** Adds a line to the event log, and updates the ports. */
  override log(what: string): void {
    super.log(what);
    this.#wire.sync(this);
  }
}
