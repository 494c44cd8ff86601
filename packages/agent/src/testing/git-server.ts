import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTcpServer } from "node:net";

/** A Git server on loopback. */
export interface GitServer extends AsyncDisposable {
  url: string;
}

/** What a {@link serveHttp} is told of. */
export interface HttpOptions {
  folder: string;
  /** As "user:password"; anyone when not given. */
  login?: string;
  /** Told of each request; true when it has answered it. */
  onRequest?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

/** Serves the repositories of a folder by the real `git http-backend`. */
export async function serveHttp({ folder, login, onRequest }: HttpOptions): Promise<GitServer> {
  const server = createServer((request, response) => {
    if (onRequest?.(request, response) === true) return;
    const expected = `Basic ${Buffer.from(login ?? "").toString("base64")}`;
    if (login !== undefined && request.headers.authorization !== expected) {
      response.writeHead(401, { "WWW-Authenticate": 'Basic realm="git"' }).end("no entry\n");
      return;
    }
    serveRequest(folder, login?.split(":")[0] ?? "anyone", request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** One request by CGI. */
function serveRequest(
  folder: string,
  user: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const url = new URL(request.url ?? "/", "http://localhost");
  const backend = spawn("git", ["-c", "safe.directory=*", "http-backend"], {
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: "1",
      REMOTE_USER: user,
      REQUEST_METHOD: request.method,
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers["content-type"],
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"],
      HTTP_GIT_PROTOCOL: request.headers["git-protocol"]?.toString(),
    },
    stdio: ["pipe", "pipe", "ignore"],
  });
  backend.stdin.on("error", () => {});
  request.pipe(backend.stdin);
  let head: Buffer | undefined = Buffer.alloc(0);
  backend.stdout.on("data", (data: Buffer) => {
    if (head === undefined) return void response.write(data);
    head = Buffer.concat([head, data]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const lines = head.subarray(0, end).toString().split("\r\n");
    const headers = new Map(lines.map((line) => [line.split(": ")[0] ?? "", line.split(": ")[1]]));
    const status = Number(headers.get("Status")?.slice(0, 3) ?? 200);
    headers.delete("Status");
    response.writeHead(status, Object.fromEntries(headers));
    response.write(head.subarray(end + 4));
    head = undefined;
  });
  backend.on("close", () => response.end());
  response.on("close", () => backend.kill());
}

/** Serves the repositories of a folder by the real `git daemon`. */
export async function serveDaemon(folder: string): Promise<GitServer> {
  const port = await freePort();
  const daemon = spawn(
    "git",
    [
      "daemon",
      "--reuseaddr",
      "--verbose",
      "--export-all",
      "--enable=receive-pack",
      "--listen=127.0.0.1",
      `--port=${port}`,
      `--base-path=${folder}`,
    ],
    { stdio: ["ignore", "ignore", "pipe"], detached: true },
  );
  // It says that it is ready, on standard error.
  await once(daemon.stderr, "data");
  daemon.stderr.resume();
  return {
    url: `git://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(daemon, "close");
      process.kill(-(daemon.pid ?? 0), "SIGTERM");
      await closed;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("there is no free port");
  return address.port;
}

/** Runs git on this computer, in a folder, and gives its output. */
export function hostGit(folder: string, ...args: string[]): string {
  const identity = { NAME: "Test", EMAIL: "test@example.com" };
  return execFileSync("git", args, {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      HOME: folder,
      GIT_CONFIG_NOSYSTEM: "1",
      ...Object.fromEntries(
        Object.entries(identity).flatMap(([name, value]) => [
          [`GIT_AUTHOR_${name}`, value],
          [`GIT_COMMITTER_${name}`, value],
        ]),
      ),
    },
  }).trim();
}
