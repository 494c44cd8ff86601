/** How one thing that a server needs was found. */
export interface Check {
  /** What was looked at, in a word or two. */
  readonly name: string;
  /** `warn` does not keep the server from starting. */
  readonly status: "ok" | "warn" | "fail";
  /** What was found. */
  readonly detail: string;
  /** What to do about it; empty when all is well. */
  readonly remedy: string;
}

/** All is well. */
export function ok(name: string, detail: string): Check {
  return { name, status: "ok", detail, remedy: "" };
}

/** It will do, but not well. */
export function warn(name: string, detail: string, remedy: string): Check {
  return { name, status: "warn", detail, remedy };
}

/** The server cannot work like this. */
export function fail(name: string, detail: string, remedy: string): Check {
  return { name, status: "fail", detail, remedy };
}
