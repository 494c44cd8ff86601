import { createTransport } from "#transport";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import {
  AuditService,
  EventService,
  KeyService,
  MACHINE_ID_HEADER,
  MachineService,
  ProjectService,
  PreviewService,
  SnapshotService,
  SshService,
  TransferService,
} from "@nullspace/proto";
import { FileService, GitService, ProcessService, PtyService } from "@nullspace/proto/agent";
import { type CallOptions, CallScope, DEFAULT_TIMEOUT_MS } from "./call.js";
import type { Configuration } from "./configuration.js";
import { toNullspaceError } from "./error-mapping.js";
import { CALL_RETRIES, delayMs, isTransient, pause, type RetryPolicy } from "./retry.js";

/** What a single attempt of a call is made with. */
export interface AttemptOptions {
  signal: AbortSignal;
  timeoutMs?: number;
  headers?: Record<string, string>;
}

/** How a call behaves when its caller does not say. */
export interface CallRule {
  /** Making the call twice does the same as once: it may be tried again. */
  idempotent?: boolean;
  /** How patiently it is tried again; some two seconds when not given. */
  retries?: RetryPolicy;
  /** Deadline where the caller sets none, in milliseconds; 0 for none. */
  defaultTimeoutMs?: number;
}

/**
 * The way to one server with one key. Every call passes through {@link unary}
 * or {@link stream}: deadlines, cancellation, retries and errors are dealt with
 * there and nowhere else.
 */
export class Connection {
  /** URL of the server, without a slash at its end. */
  readonly url: string;
  readonly machines: Client<typeof MachineService>;
  readonly snapshots: Client<typeof SnapshotService>;
  readonly previews: Client<typeof PreviewService>;
  readonly events: Client<typeof EventService>;
  readonly keys: Client<typeof KeyService>;
  readonly projects: Client<typeof ProjectService>;
  readonly audit: Client<typeof AuditService>;
  readonly transfers: Client<typeof TransferService>;
  readonly ssh: Client<typeof SshService>;
  readonly processes: Client<typeof ProcessService>;
  readonly files: Client<typeof FileService>;
  readonly ptys: Client<typeof PtyService>;
  readonly git: Client<typeof GitService>;
  readonly #closeTransport: () => void;
  readonly #closed = new AbortController();

  constructor(configuration: Configuration) {
    this.url = configuration.url;
    const authorize: Interceptor = (next) => (request) => {
      request.header.set("Authorization", `Bearer ${configuration.apiKey}`);
      return next(request);
    };
    const closable = createTransport({
      url: configuration.url,
      interceptors: [authorize],
    });
    this.#closeTransport = () => closable.close();
    const { transport } = closable;
    this.machines = createClient(MachineService, transport);
    this.snapshots = createClient(SnapshotService, transport);
    this.previews = createClient(PreviewService, transport);
    this.events = createClient(EventService, transport);
    this.keys = createClient(KeyService, transport);
    this.projects = createClient(ProjectService, transport);
    this.audit = createClient(AuditService, transport);
    this.transfers = createClient(TransferService, transport);
    this.ssh = createClient(SshService, transport);
    this.processes = createClient(ProcessService, transport);
    this.files = createClient(FileService, transport);
    this.ptys = createClient(PtyService, transport);
    this.git = createClient(GitService, transport);
  }

  /** Makes a call with one answer. */
  async unary<T>(
    options: CallOptions,
    attempt: (options: AttemptOptions) => Promise<T>,
    rule: CallRule = {},
  ): Promise<T> {
    const signal = this.#untilClosed(options.signal);
    const timeoutMs = options.requestTimeoutMs ?? rule.defaultTimeoutMs ?? DEFAULT_TIMEOUT_MS;
    const scope = new CallScope(signal, timeoutMs);
    const policy = rule.retries ?? CALL_RETRIES;
    try {
      for (let retry = 0; ; retry++) {
        try {
          return await attempt(scope.connectOptions);
        } catch (cause) {
          const error = toNullspaceError(cause, signal);
          const tryAgain = rule.idempotent === true && isTransient(error);
          if (!tryAgain || retry >= policy.retries) throw error;
          const delay = delayMs(policy, retry, error);
          if (delay >= scope.remainingMs) throw error;
          await pause(delay, scope.signal);
        }
      }
    } finally {
      scope.close();
    }
  }

  /** Makes a call that streams its answer. Leaving the loop over it cancels the call. */
  async *stream<T>(
    options: CallOptions,
    attempt: (options: AttemptOptions) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    const signal = this.#untilClosed(options.signal);
    const scope = new CallScope(signal, options.requestTimeoutMs ?? 0);
    try {
      yield* attempt(scope.connectOptions);
    } catch (error) {
      throw toNullspaceError(error, signal);
    } finally {
      scope.cancel();
      scope.close();
    }
  }

  /** Cancels every call in flight and closes the connection, for good. */
  close(): void {
    this.#closed.abort(new Error("the client was closed"));
    this.#closeTransport();
  }

  #untilClosed(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#closed.signal]) : this.#closed.signal;
  }
}

/** The way to the agent inside one machine. */
export class AgentConnection {
  readonly machineId: string;
  readonly #connection: Connection;
  readonly #headers: Record<string, string>;

  constructor(connection: Connection, machineId: string) {
    this.machineId = machineId;
    this.#connection = connection;
    this.#headers = { [MACHINE_ID_HEADER]: machineId };
  }

  /** URL of the server. */
  get url(): string {
    return this.#connection.url;
  }

  get transfers(): Client<typeof TransferService> {
    return this.#connection.transfers;
  }

  get processes(): Client<typeof ProcessService> {
    return this.#connection.processes;
  }

  get files(): Client<typeof FileService> {
    return this.#connection.files;
  }

  get ptys(): Client<typeof PtyService> {
    return this.#connection.ptys;
  }

  get git(): Client<typeof GitService> {
    return this.#connection.git;
  }

  /** See {@link Connection.unary}. */
  unary<T>(
    options: CallOptions,
    attempt: (options: AttemptOptions) => Promise<T>,
    rule: CallRule = {},
  ): Promise<T> {
    const headers = this.#headers;
    return this.#connection.unary(options, (given) => attempt({ ...given, headers }), rule);
  }

  /** See {@link Connection.stream}. */
  stream<T>(
    options: CallOptions,
    attempt: (options: AttemptOptions) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    const headers = this.#headers;
    return this.#connection.stream(options, (given) => attempt({ ...given, headers }));
  }
}
