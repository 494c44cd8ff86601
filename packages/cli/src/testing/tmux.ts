import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const LIMIT_MS = 15_000;

/** A terminal that a test types into and reads, with a shell in it. */
export class Tmux implements Disposable {
  readonly #socket = `nullspace-test-${randomUUID()}`;

  /** @param env environment of the shell, in which `ns` is the built program. */
  constructor(env: Record<string, string>, size = { cols: 100, rows: 30 }) {
    const variables = Object.entries(env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
    const { cols, rows } = size;
    const window = ["-f", "/dev/null", "new-session", "-d", "-x", String(cols), "-y", String(rows)];
    const own = ["-e", "PS1=local> ", "-e", `NODE=${process.execPath}`];
    this.#run(...window, ...variables, ...own, "bash", "--norc", "--noprofile");
    this.type(`ns() { "$NODE" ${MAIN} "$@"; }; clear`);
    this.press("Enter");
  }

  /** Types text as it is. */
  type(text: string): void {
    this.#run("send-keys", "-l", text);
  }

  /** Presses keys by their names, as `Enter` and `C-c`. */
  press(...keys: string[]): void {
    this.#run("send-keys", ...keys);
  }

  /** Types a line and presses Enter. */
  enter(line: string): void {
    this.type(line);
    this.press("Enter");
  }

  resize(cols: number, rows: number): void {
    this.#run("resize-window", "-x", String(cols), "-y", String(rows));
  }

  /** What the terminal shows. */
  get screen(): string {
    return this.#run("capture-pane", "-p").trimEnd();
  }

  /** Waits until the screen matches; fails with the screen if it never does. */
  async shows(wanted: RegExp): Promise<string> {
    const end = Date.now() + LIMIT_MS;
    for (;;) {
      const { screen } = this;
      if (wanted.test(screen)) return screen;
      if (Date.now() > end) throw new Error(`no ${String(wanted)} on the screen:\n${screen}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  [Symbol.dispose](): void {
    this.#run("kill-server");
  }

  #run(...args: string[]): string {
    return execFileSync("tmux", ["-L", this.#socket, ...args], { encoding: "utf8" });
  }
}
