import { AuthError, InvalidArgumentError } from "./errors.js";

/** Where the API is, and with which key. */
export interface ConnectionOptions {
  /** URL of the server; `NULLSPACE_API_URL` or else `http://127.0.0.1:7070` when not given. */
  url?: string | undefined;
  /** API key, `ns_..._...`; `NULLSPACE_API_KEY` when not given. */
  apiKey?: string | undefined;
}

/** URL of a server that runs on this machine with its default port. */
export const DEFAULT_URL = "http://127.0.0.1:7070";

/** Options with everything filled in. */
export interface Configuration {
  url: string;
  apiKey: string;
}

/** Fills in what is not given from the environment. Throws when there is no key or no sound URL. */
export function resolveConfiguration(options: ConnectionOptions): Configuration {
  const url = options.url ?? environment("NULLSPACE_API_URL") ?? DEFAULT_URL;
  const apiKey = options.apiKey ?? environment("NULLSPACE_API_KEY");
  if (!URL.canParse(url) || !/^https?:/.test(url)) {
    throw new InvalidArgumentError(`"${url}" is not the URL of a server`, {
      remedy: `Give one like ${DEFAULT_URL}, as url or in NULLSPACE_API_URL.`,
    });
  }
  if (!apiKey) {
    throw new AuthError("no API key was given", {
      remedy: "Set NULLSPACE_API_KEY, or pass apiKey.",
    });
  }
  return { url: url.replace(/\/+$/, ""), apiKey };
}

function environment(name: string): string | undefined {
  // Browsers have no environment.
  const value = typeof process === "undefined" ? undefined : process.env[name];
  return value === "" ? undefined : value;
}
