import { createHash } from "node:crypto";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type ConnectAgent, connectInTime } from "../connect-agent.js";
import { type EdgeRequest, type EdgeResponse, onDeparture, resetResponse } from "../exchange.js";
import { agentFiles } from "./agent-files.js";
import { answerFailure } from "./answers.js";
import { download } from "./download.js";
import { StallTimer } from "./stall-timer.js";
import { isBrokenOff, upload } from "./upload.js";

/** A transfer that has not moved for so long is given up, in milliseconds. */
const STALL_MS = 300_000;

/** Transfers at once: each holds about a MiB while it moves. */
const MOST_AT_ONCE = 128;

const METHODS = { download: ["GET", "HEAD"], upload: ["PUT", "POST"] } as const;

/** What a URL lets its bearer do. */
export interface Grant {
  readonly machineId: string;
  readonly direction: "download" | "upload";
  readonly path: string;
  readonly user: string;
}

/** What {@link Transfers} needs of the rest of the server. */
export interface TransfersOptions {
  /**
   * Reads a request's URL.
   *
   * @throws Fault when it is not signed, has expired, or its machine does not run.
   */
  readonly admit: (url: string) => Promise<Grant>;
  /** Notes that a machine is in use until what it gives is disposed. */
  readonly use: (machineId: string) => Disposable;
  readonly connectAgent: ConnectAgent;
  /** Aborted with a Fault when the server begins to stop. */
  readonly stopping: AbortSignal;
  /** Told of errors that nobody foresaw. */
  readonly onDefect: (error: unknown) => void;
  /** How long a client may do nothing, in milliseconds; five minutes when not given. */
  readonly stallMs?: number;
}

/** Carries files between signed URLs and machines. */
export class Transfers {
  readonly #options: TransfersOptions;
  #running = 0;

  constructor(options: TransfersOptions) {
    this.#options = options;
  }

  /** Answers a request for a transfer URL. Never throws: whatever happens is the answer. */
  async serve(request: EdgeRequest, response: EdgeResponse): Promise<void> {
    const gone = new AbortController();
    onDeparture(response, () =>
      gone.abort(new Fault(ErrorReason.CANCELLED, "the caller has gone")),
    );
    try {
      if (this.#running >= MOST_AT_ONCE) throw tooMany();
      this.#running++;
      try {
        await this.#carry(request, response, gone.signal);
      } finally {
        this.#running--;
      }
    } catch (error) {
      if (gone.signal.aborted || response.destroyed || isBrokenOff(error)) return;
      answerFailure(request, response, error, this.#options.onDefect);
    }
  }

  async #carry(request: EdgeRequest, response: EdgeResponse, gone: AbortSignal): Promise<void> {
    const { admit, use, connectAgent, stopping } = this.#options;
    stopping.throwIfAborted();
    const url = request.url ?? "";
    const grant = await admit(url);
    const allowed: readonly string[] = METHODS[grant.direction];
    if (!allowed.includes(request.method ?? "")) {
      response.setHeader("allow", allowed.join(", "));
      throw new Fault(
        ErrorReason.TRANSFER_URL_INVALID,
        `this URL is for ${grant.direction}s: ${allowed.join(" and ")}`,
        { remedy: "Ask for a URL of the other kind: uploadUrl() or downloadUrl()." },
      );
    }
    using _ = use(grant.machineId);
    using stall = new StallTimer(this.#options.stallMs ?? STALL_MS, () => {
      request.destroy();
      resetResponse(response);
    });
    const files = agentFiles(await connectInTime(connectAgent, grant.machineId, gone));
    if (grant.direction === "download") {
      return await download(files, grant.path, { request, response, signal: gone, stall });
    }
    // What has arrived of an upload is kept even when its client goes.
    const key = createHash("sha256").update(url).digest("hex");
    return await upload(files, { ...grant, key }, { request, response, signal: stopping, stall });
  }
}

function tooMany(): Fault {
  return new Fault(
    ErrorReason.TOO_MANY_TRANSFERS,
    `the server carries ${MOST_AT_ONCE} transfers already`,
    { remedy: "Try again when some of them are done." },
  );
}
