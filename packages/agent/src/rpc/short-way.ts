import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import {
  create,
  type DescMessage,
  type DescService,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  createServiceImplSpec,
  type ServiceImpl,
} from "@connectrpc/connect";
import {
  codeToHttpStatus,
  contentTypeStreamProto,
  contentTypeUnaryProto,
  endStreamToJson,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { END_OF_CALL, envelope, ENVELOPE_HEAD_BYTES } from "@nullspace/proto/envelopes";
import { mapError } from "@nullspace/proto/fault";
import { CallContext } from "./call-context.js";

type MethodSpec = ReturnType<typeof createServiceImplSpec>["methods"][string];
type UnarySpec = Extract<MethodSpec, { kind: "unary" }>;
type StreamSpec = Extract<MethodSpec, { kind: "server_streaming" }>;

/** Headers that ask for more than is done here. */
const UNUSUAL = ["content-encoding", "connect-content-encoding"] as const;

/** What {@link ShortWay} needs. */
export interface ShortWayOptions {
  /** Waited for before each call. */
  settled: () => Promise<void>;
  /** Told of everything a handler throws that is not a fault. */
  onDefect: (error: unknown) => void;
  /** Largest message of a caller, in bytes. */
  readMaxBytes: number;
  /** What a call is told of its connection, as it is now, for when somebody asks. */
  contextValues: (stream: ServerHttp2Stream) => () => ContextValues;
}

/**
 * Serves the calls that SDK and server make (the Connect protocol, one message in Protobuf's binary
 * format, uncompressed) straight from HTTP/2's streams. The library, which knows every protocol, takes two
 * thirds of the time of a small call under emulation; whatever is not of this form is left to it.
 */
export class ShortWay {
  readonly #options: ShortWayOptions;
  readonly #methods = new Map<string, UnarySpec | StreamSpec>();

  constructor(options: ShortWayOptions) {
    this.#options = options;
  }

  add<S extends DescService>(service: S, implementation: Partial<ServiceImpl<S>>): void {
    const { methods } = createServiceImplSpec(service, implementation);
    for (const spec of Object.values(methods)) {
      const path = `/${service.typeName}/${spec.method.name}`;
      if (spec.kind === "unary" || spec.kind === "server_streaming") this.#methods.set(path, spec);
    }
  }

  /** Takes a call over, or says that it is none for this way; then it is untouched. */
  take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    const spec = this.#methods.get(headers[":path"] ?? "");
    if (spec === undefined || headers[":method"] !== "POST") return false;
    const type = spec.kind === "unary" ? contentTypeUnaryProto : contentTypeStreamProto;
    if (headers["content-type"] !== type) return false;
    if (UNUSUAL.some((name) => headers[name] !== undefined)) return false;
    const timeout = headers["connect-timeout-ms"];
    // Ten digits are what the protocol allows; anything else is refused in the library's words.
    if (timeout !== undefined && !/^\d{1,10}$/.test(String(timeout))) return false;
    const timeoutMs = timeout === undefined ? undefined : Number(timeout);
    const values = this.#options.contextValues(stream);
    const context = new CallContext(spec.method, stream, headers, timeoutMs, values);
    // A stream that breaks is closed, of which the context hears.
    stream.on("error", () => undefined);
    const serving =
      spec.kind === "unary"
        ? this.#unary(spec, stream, context)
        : this.#stream(spec, stream, context);
    serving.catch(this.#options.onDefect).finally(() => context.end());
    return true;
  }

  async #unary(spec: UnarySpec, stream: ServerHttp2Stream, context: CallContext): Promise<void> {
    let status = 200;
    let type = contentTypeUnaryProto;
    let body: Uint8Array;
    try {
      const bytes = await this.#receive(stream, this.#options.readMaxBytes);
      if (bytes === undefined) return;
      await this.#options.settled();
      const output = await spec.impl(parse(spec.method.input, bytes), context);
      body = serialize(spec.method.output, output);
    } catch (cause) {
      const error = mapError(cause, this.#options.onDefect);
      status = codeToHttpStatus(error.code);
      type = "application/json";
      body = errorToJsonBytes(error, undefined);
    }
    if (stream.destroyed || stream.closed) return;
    const { header, trailer } = context.answered;
    const head = headOf(status, type, header);
    for (const [name, value] of trailer ?? []) head[`trailer-${name}`] = value;
    stream.respond({ ...head, "content-length": body.length });
    stream.end(body);
  }

  async #stream(spec: StreamSpec, stream: ServerHttp2Stream, context: CallContext): Promise<void> {
    let error: ConnectError | undefined;
    try {
      const most = this.#options.readMaxBytes + ENVELOPE_HEAD_BYTES;
      const bytes = await this.#receive(stream, most);
      if (bytes === undefined) return;
      await this.#options.settled();
      const messages = spec.impl(parse(spec.method.input, unwrap(bytes)), context);
      const iterator = messages[Symbol.asyncIterator]();
      // The next message is made while the one before is on its way.
      let room: Promise<void> | undefined;
      try {
        for (;;) {
          const next = await iterator.next();
          if (stream.destroyed || stream.closed) return;
          if (next.done === true) break;
          begin(stream, context);
          const message = envelope(serialize(spec.method.output, next.value));
          await room;
          if (stream.destroyed || stream.closed) return;
          room = stream.write(message) ? undefined : writable(stream);
        }
      } finally {
        await iterator.return?.();
      }
    } catch (cause) {
      // What a handler throws after its caller has gone is its way to end.
      error = mapError(cause, this.#options.onDefect);
    }
    if (stream.destroyed || stream.closed) return;
    begin(stream, context);
    const end = endStreamToJson(context.answered.trailer ?? new Headers(), error, undefined);
    stream.end(envelope(Buffer.from(JSON.stringify(end)), END_OF_CALL));
  }

  /** The body of a request; nothing when its caller has gone before its end. */
  async #receive(stream: ServerHttp2Stream, most: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    let size = 0;
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    stream.on("data", (piece: Buffer) => {
      size += piece.length;
      if (size <= most) pieces.push(piece);
      else pieces.length = 0;
    });
    stream.once("end", () => {
      // A stream that is reset ends, too.
      if (stream.closed || stream.aborted) resolve(undefined);
      else if (size > most) {
        reject(new ConnectError(`message is larger than ${most} bytes`, Code.ResourceExhausted));
      } else resolve(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces, size));
    });
    stream.once("close", () => resolve(undefined));
    return await promise;
  }
}

function parse<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array) {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new ConnectError(
      `parse binary: ${what}`,
      Code.InvalidArgument,
      undefined,
      undefined,
      cause,
    );
  }
}

function serialize<Desc extends DescMessage>(
  schema: Desc,
  init: MessageInitShape<Desc>,
): Uint8Array {
  return toBinary(schema, create(schema, init));
}

/** The one message of a request of a stream. */
function unwrap(bytes: Buffer): Buffer {
  const isWhole =
    bytes.length >= ENVELOPE_HEAD_BYTES &&
    bytes.length === ENVELOPE_HEAD_BYTES + bytes.readUInt32BE(1);
  if (isWhole && bytes[0] === 0) return bytes.subarray(ENVELOPE_HEAD_BYTES);
  throw new ConnectError("the request is not one whole message", Code.InvalidArgument);
}

function headOf(status: number, type: string, header: Headers | undefined): OutgoingHttpHeaders {
  return { ...Object.fromEntries(header ?? []), ":status": status, "content-type": type };
}

function begin(stream: ServerHttp2Stream, context: CallContext): void {
  if (!stream.headersSent)
    stream.respond(headOf(200, contentTypeStreamProto, context.answered.header));
}

/** Resolves when more may be written, or nobody reads any more. */
function writable(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
  });
}
