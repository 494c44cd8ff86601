import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createInterface, type Interface } from "node:readline";

/** Hosts that tests reach, or must not: all in one namespace, whatever networks they stand for. */
export const HOSTS = {
  /** On "the Internet". */
  web: "203.0.113.10",
  other: "203.0.113.11",
  dns: "203.0.113.53",
  /** In the host's private network. */
  neighbour: "10.77.0.7",
  metadata: "169.254.169.254",
  neighbour6: "fd77::7",
} as const;

/** The host's own addresses in those networks. */
export const HOST = { open: "203.0.113.1", private: "10.77.0.1", v6: "fd77::1" } as const;

/** Ports of every host: an HTTP server, and one that sends back what it gets, by TCP and UDP. */
export const HTTP_PORT = 80;
export const ECHO_PORT = 7;
/** Of {@link HOSTS.web}: sends without end to who sends "start". */
export const FLOOD_PORT = 19;

const SERVERS = fileURLToPath(new URL("./test-internet-servers.ts", import.meta.url));

/** Networks behind this computer's back, made for one test: never any other is a target. */
export class TestInternet implements AsyncDisposable {
  readonly #namespace: string;
  readonly #link: string;
  readonly #servers: ChildProcess;
  readonly #lines: Interface;
  readonly #seen: string[] = [];

  private constructor(namespace: string, link: string) {
    this.#namespace = namespace;
    this.#link = link;
    const program = [process.execPath, SERVERS, JSON.stringify(HOSTS)];
    this.#servers = spawn("nsenter", [`--net=/run/netns/${namespace}`, ...program], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    if (this.#servers.stdout === null) throw new Error("the servers have no standard output");
    this.#lines = createInterface({ input: this.#servers.stdout });
    this.#lines.on("line", (line) => this.#seen.push(line));
  }

  static async open(): Promise<TestInternet> {
    const namespace = `nulltest-${process.pid}`;
    const link = `nt${process.pid}`;
    ip("netns", "add", namespace);
    ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    for (const [address, bits] of [
      [HOST.open, 24],
      [HOST.private, 24],
    ] as const) {
      ip("address", "add", `${address}/${bits}`, "dev", link);
    }
    ip("address", "add", `${HOST.v6}/64`, "dev", link, "nodad");
    ip("link", "set", link, "up");
    ip("route", "add", `${HOSTS.metadata}/32`, "dev", link);
    for (const address of Object.values(HOSTS)) {
      const isV6 = address.includes(":");
      const range = isV6 ? `${address}/64` : `${address}/${address === HOSTS.metadata ? 32 : 24}`;
      ip("-n", namespace, "address", "add", range, "dev", "eth0", ...(isV6 ? ["nodad"] : []));
    }
    ip("-n", namespace, "link", "set", "lo", "up");
    ip("-n", namespace, "link", "set", "eth0", "up");
    ip("-n", namespace, "route", "add", "default", "via", HOST.open);
    const internet = new TestInternet(namespace, link);
    await once(internet.#lines, "line");
    return internet;
  }

  /** What the hosts were sent since this was last asked: "udp 10.77.0.7 hello", "dns web.test". */
  async seen(): Promise<string[]> {
    // What is on its way from the servers comes before their answer.
    const answered = once(this.#lines, "line", { signal: AbortSignal.timeout(10_000) });
    this.#servers.stdin?.write("report\n");
    for (;;) {
      if (this.#seen.includes("end"))
        return this.#seen.splice(0).filter((line) => line !== "end" && line !== "ready");
      await (this.#seen.length === 0 ? answered : once(this.#lines, "line"));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#servers, "exit");
    this.#servers.stdin?.end();
    await exited;
    ip("link", "delete", this.#link);
    ip("netns", "delete", this.#namespace);
  }
}

function ip(...args: string[]): string {
  return execFileSync("ip", args, { encoding: "utf8" });
}
