import { randomBytes } from "node:crypto";
import { create, fromJsonString } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import {
  type PtyServiceCreateRequest,
  PtySessionSchema,
  StartRequestSchema,
} from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { UserDatabase } from "../guest/users.js";
import type { GuestProcess } from "../process/guest-process.js";
import type { ProcessTable } from "../process/process-table.js";
import { PtySession } from "./pty-session.js";
import { Screen, type Size } from "./screen.js";

/** Sessions at once. Each keeps a screen and the lines that scrolled off it: one to two megabytes. */
const MOST_RUNNING = 64;

/** How many ended sessions are remembered, with their last screen. */
const MOST_ENDED = 16;

const MOST_COLS = 1000;
const DEFAULT_SIZE: Size = { cols: 80, rows: 24 };

/** What programs are told of the terminal; xterm.js, which keeps the screen, is one of this kind. */
const TERMINAL_ENV = { TERM: "xterm-256color", COLORTERM: "truecolor" };

/** Every terminal session: those that run, and the last that ended. */
export class PtyTable {
  readonly #processes: ProcessTable;
  readonly #users: UserDatabase;
  readonly #onError: (error: unknown) => void;
  readonly #sessions = new Map<string, PtySession>();
  /** By the key of the call that asked for it. */
  readonly #created = new Map<string, Promise<PtySession>>();
  #starting = 0;

  constructor(processes: ProcessTable, users: UserDatabase, onError: (error: unknown) => void) {
    this.#processes = processes;
    this.#users = users;
    this.#onError = onError;
    for (const { pid, meta } of processes.inheritedTerminals) {
      this.#inherit(processes.get(pid), meta).catch(onError);
    }
  }

  /**
   * Starts a program in a terminal. A call with the key of an earlier one gives its session.
   *
   * @throws Fault TOO_MANY_PTYS, PROCESS_START_FAILED, INVALID_ARGUMENT.
   */
  create(request: PtyServiceCreateRequest): Promise<PtySession> {
    const { idempotencyKey: key } = request;
    const known = key === "" ? undefined : this.#created.get(key);
    if (known !== undefined) return known;
    const session = this.#start(request);
    if (key !== "") {
      this.#created.set(key, session);
      // One that failed may be tried again.
      session.catch(() => this.#created.delete(key));
    }
    return session;
  }

  /**
   * The session of an id.
   *
   * @throws Fault PTY_NOT_FOUND when it is not remembered.
   */
  get(id: string): PtySession {
    const session = this.#sessions.get(id);
    if (session !== undefined) return session;
    throw new Fault(ErrorReason.PTY_NOT_FOUND, `no terminal session has the id ${id}`, {
      remedy: `List the sessions: those that run and the last ${MOST_ENDED} that ended are known.`,
      details: { session_id: id },
    });
  }

  /** Every session that is known, newest first. */
  list(): PtySession[] {
    return [...this.#sessions.values()].toReversed();
  }

  async #start(request: PtyServiceCreateRequest): Promise<PtySession> {
    const size = request.size === undefined ? DEFAULT_SIZE : validSize(request.size);
    const running = this.list().filter(({ ended }) => !ended).length;
    if (running + this.#starting >= MOST_RUNNING) throw tooMany();
    const { shell } = this.#users.find(request.user, ErrorReason.PROCESS_START_FAILED);
    const start = create(StartRequestSchema, {
      command: request.command || shell,
      args: request.args,
      exec: request.exec || request.command === "",
      cwd: request.cwd,
      envs: { ...TERMINAL_ENV, ...request.envs },
      user: request.user,
    });
    const sessionId = `pty_${randomBytes(12).toString("base64url")}`;
    this.#starting++;
    try {
      const screen = await Screen.open(size);
      const options = { listed: false, terminal: size, meta: { sessionId, size } };
      const process = await this.#processes.start(start, options);
      return this.#add(sessionId, process, screen, size);
    } finally {
      this.#starting--;
    }
  }

  /** Takes over the session of an agent that has crashed. What it showed is lost: its programs are made to paint anew. */
  async #inherit(process: GuestProcess, meta: string): Promise<void> {
    const { sessionId, size = DEFAULT_SIZE } = fromJsonString(PtySessionSchema, meta);
    const { cols, rows } = size;
    const session = this.#add(sessionId, process, await Screen.open({ cols, rows }), {
      cols,
      rows,
    });
    if (process.exited) return;
    await session.resize({ cols, rows: rows === 1 ? 2 : rows - 1 });
    await session.resize({ cols, rows });
  }

  #add(id: string, process: GuestProcess, screen: Screen, size: Size): PtySession {
    const session = new PtySession(id, process, screen, size, async ({ cols, rows }) => {
      try {
        await this.#processes.resizeTerminal(process.pid, cols, rows);
      } catch (error) {
        // One that has ended has no size any more.
        if (!process.exited) throw error;
      }
    });
    this.#sessions.set(id, session);
    session
      .run()
      .then(() => this.#forgetOldest())
      .catch(this.#onError);
    return session;
  }

  #forgetOldest(): void {
    const ended = [...this.#sessions.values()].filter((session) => session.ended);
    const forgotten = new Set(ended.slice(0, -MOST_ENDED));
    for (const { id } of forgotten) this.#sessions.delete(id);
    for (const [key, session] of this.#created) {
      session
        .then((one) => forgotten.has(one) && this.#created.delete(key))
        .catch(() => this.#created.delete(key));
    }
  }
}

/**
 * A size that a terminal can have.
 *
 * @throws Fault INVALID_ARGUMENT.
 */
export function validSize({ cols, rows }: Size): Size {
  if (cols >= 1 && cols <= MOST_COLS && rows >= 1 && rows <= MOST_COLS) return { cols, rows };
  throw new Fault(ErrorReason.INVALID_ARGUMENT, `a terminal cannot have ${cols} by ${rows}`, {
    remedy: `Give from 1 to ${MOST_COLS} columns and rows.`,
    details: { field: "size" },
  });
}

function tooMany(): Fault {
  return new Fault(ErrorReason.TOO_MANY_PTYS, `${MOST_RUNNING} terminal sessions are running`, {
    remedy: "Kill sessions that are no longer needed: they live until their programs end.",
  });
}
