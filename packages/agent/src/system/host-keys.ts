import { existsSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { StartRequestSchema } from "@nullspace/proto/agent";
import type { ProcessTable } from "../process/process-table.js";

const KEYGEN = "/usr/bin/ssh-keygen";
const FOLDER = "/etc/ssh";

/**
 * Makes the machine's SSH host key, if it has OpenSSH, and resolves when it is
 * being made. One of Ed25519 is enough for every client of this decade; an RSA
 * key costs seconds, just when the first command wants the processor.
 */
export async function makeHostKeys(table: ProcessTable): Promise<void> {
  if (!existsSync(KEYGEN) || !existsSync(FOLDER)) return;
  const args = [
    "-n",
    "19",
    KEYGEN,
    "-q",
    "-t",
    "ed25519",
    "-N",
    "",
    "-f",
    `${FOLDER}/ssh_host_ed25519_key`,
  ];
  await table.start(create(StartRequestSchema, { command: "nice", args, cwd: "/", user: "root" }), {
    listed: false,
  });
}
