// Checks the import layers of the repository: see DEPS.list in CONTRIBUTING.md.
import { fileURLToPath } from "node:url";
import { checkLayers } from "./check.ts";
import { SOURCES } from "./sources.ts";

const { problems, files } = checkLayers(
  fileURLToPath(new URL("../../..", import.meta.url)),
  SOURCES,
);
for (const problem of problems) process.stderr.write(`${problem}\n`);
const outcome = problems.length === 0 ? "every import is allowed" : `${problems.length} problems`;
process.stdout.write(`${files} files, ${outcome}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
