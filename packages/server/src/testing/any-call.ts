import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  toJsonString,
} from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";
import * as api from "@nullspace/proto";
import * as agent from "@nullspace/proto/agent";

/** Services of the agent that only the host calls. */
const HOST_ONLY: ReadonlySet<string> = new Set([
  agent.PortService.typeName,
  agent.SshdService.typeName,
  agent.SystemService.typeName,
]);

/** Every service that users can call, also those that were added last. */
export const API_SERVICES = servicesIn(Object.values(api));
export const AGENT_SERVICES = servicesIn(Object.values(agent)).filter(
  ({ typeName }) => !HOST_ONLY.has(typeName),
);

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

function isStream(method: DescMethod): method is DescMethodStreaming {
  return method.methodKind !== "unary";
}

function servicesIn(values: readonly unknown[]): readonly DescService[] {
  return values.filter(isService);
}

function isService(value: unknown): value is DescService {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "service";
}

/** What a call came to: its first message, or why it failed. */
export type Outcome =
  | { readonly message: string }
  | { readonly reason: string; readonly text: string; readonly details: Record<string, string> };

/** Makes any call and tells what it came to; of a stream, its first message. */
export async function callAny(
  transport: Transport,
  method: DescMethod,
  fields: Record<string, unknown>,
): Promise<Outcome> {
  const stop = new AbortController();
  const input: MessageInitShape<DescMessage> = fields;
  try {
    if (isUnary(method)) {
      const response = await transport.unary(
        method,
        stop.signal,
        undefined,
        undefined,
        create(method.input, input),
      );
      return { message: toJsonString(method.output, response.message) };
    }
    if (!isStream(method)) throw new Error(`${String(method)} is of an unknown kind`);
    const messages = async function* () {
      yield create(method.input, input);
    };
    const response = await transport.stream(method, stop.signal, undefined, undefined, messages());
    for await (const message of response.message) {
      return { message: toJsonString(method.output, message) };
    }
    return { message: "" };
  } catch (error) {
    const failure = ConnectError.from(error);
    const [info] = failure.findDetails(api.ErrorInfoSchema);
    return {
      reason: info === undefined ? `?${failure.code}` : api.ErrorReason[info.reason],
      text: failure.rawMessage,
      details: info?.details ?? {},
    };
  } finally {
    stop.abort();
  }
}
