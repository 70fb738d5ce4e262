import type {
  DescMessage,
  DescMethodUnary,
  Message,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";

type Methods = Record<string, { readonly input: DescMessage; readonly output: DescMessage }>;

/**
 * The handlers of a process for each method of its service, by the method's local name. A missing
 * method is unknown to the process.
 */
export type Handlers<P, M extends Methods> = {
  readonly [K in keyof M]?: (
    process: P,
    request: MessageShape<M[K]["input"]>,
  ) => MessageInitShape<M[K]["output"]>;
};

/**
 * Calls the handler of a method.
 *
 * @param request A message, or its field values.
 * @returns The answer; undefined if there is no such handler.
 */
export function dispatch<P, M extends Methods>(
  handlers: Handlers<P, M>,
  process: P,
  method: DescMethodUnary,
  request: MessageInitShape<DescMessage>,
): Message | undefined {
  const table = handlers as Readonly<
    Record<string, ((process: P, request: Message) => MessageInitShape<DescMessage>) | undefined>
  >;
  const handler = table[method.localName];
  if (handler === undefined) return undefined;
  return create(method.output, handler(process, create(method.input, request)));
}
