import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import type { EdgeRequest, EdgeResponse } from "../edge/exchange.js";
import { answerText } from "./plain-answers.js";

/** Where the console lives on the port. */
export const CONSOLE_PATH = "/console/";

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".woff2": "font/woff2",
};

/** Only our own code and calls, no frames. Terminals and charts set styles on elements. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

interface ConsoleFile {
  readonly path: string;
  readonly size: number;
  readonly etag: string;
  readonly type: string;
  readonly cacheControl: string;
}

/** The console's built files, by their URL path below {@link CONSOLE_PATH}. */
export class ConsoleFiles {
  readonly #files: ReadonlyMap<string, ConsoleFile>;

  private constructor(files: ReadonlyMap<string, ConsoleFile>) {
    this.#files = files;
  }

  /**
   * Looks at the files there are. Only these are ever served, so no request can
   * name another.
   *
   * @param directory Where the console was built; it may be missing.
   */
  static async load(directory: string): Promise<ConsoleFiles> {
    const files = new Map<string, ConsoleFile>();
    for (const path of await listFiles(directory)) {
      const { size, mtimeMs } = await stat(path);
      const url = relative(directory, path).replaceAll(sep, "/");
      files.set(url, {
        path,
        size,
        etag: `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"`,
        type: CONTENT_TYPES[extname(path)] ?? "application/octet-stream",
        // The build puts a hash into the names of all assets: such a file never changes.
        cacheControl: url.startsWith("assets/")
          ? "public, max-age=31536000, immutable"
          : "no-cache",
      });
    }
    return new ConsoleFiles(files);
  }

  /** Answers a request below {@link CONSOLE_PATH}. Paths without an extension are the application's own. */
  async serve(pathname: string, request: EdgeRequest, response: EdgeResponse): Promise<void> {
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      return answerText(response, 405, "the console can only be read\n");
    }
    const name = pathname.slice(CONSOLE_PATH.length);
    const file =
      this.#files.get(name) ?? (extname(name) === "" ? this.#files.get("index.html") : undefined);
    if (file === undefined) {
      const built = this.#files.size > 0;
      return answerText(response, 404, built ? "no such file\n" : "the console is not built\n");
    }
    response.setHeader("cache-control", file.cacheControl);
    response.setHeader("etag", file.etag);
    response.setHeader("content-security-policy", CONTENT_SECURITY_POLICY);
    response.setHeader("x-content-type-options", "nosniff");
    response.setHeader("referrer-policy", "no-referrer");
    if (request.headers["if-none-match"] === file.etag) {
      response.statusCode = 304;
      response.end();
      return;
    }
    response.setHeader("content-type", file.type);
    response.setHeader("content-length", file.size);
    if (request.method === "HEAD") response.end();
    else await pipeline(createReadStream(file.path), response);
  }
}

async function listFiles(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
