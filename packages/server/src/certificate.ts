import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Certificate } from "./http/listener.js";
import { StartError } from "./start-error.js";

/**
 * Reads the certificate that the server is to show, and checks that its key belongs to it.
 *
 * @returns `undefined` when no files are named.
 * @throws StartError when one of the two is missing, unreadable or wrong.
 */
export async function readCertificate(files: {
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}): Promise<Certificate | undefined> {
  const { tlsCert, tlsKey } = files;
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new StartError("of --tls-cert and --tls-key only one is given", {
      remedy: "Give both, each the path of a PEM file, or neither.",
    });
  }
  try {
    const [cert, key] = await Promise.all([readFile(tlsCert, "utf8"), readFile(tlsKey, "utf8")]);
    createSecureContext({ cert, key });
    return { cert, key };
  } catch (cause) {
    throw new StartError(`the certificate ${tlsCert} cannot be used: ${String(cause)}`, {
      remedy: "Check that both files are PEM, can be read, and belong to each other.",
      cause,
    });
  }
}
