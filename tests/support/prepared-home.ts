import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startServer } from "./server.js";

declare module "vitest" {
  interface ProvidedContext {
    /** A home that holds the base image and its captured template. */
    preparedHome: string;
  }
}

/**
 * Captures the base template once for the whole run. Homes of single tests are
 * hard links of this one, so no test boots a guest of its own.
 */
export default async function setup(project: TestProject) {
  const home = process.env["NULLSPACE_TEST_HOME"];
  if (home === undefined) {
    throw new Error(
      "NULLSPACE_TEST_HOME names no home with a guest image. Run the tests by `npm test`.",
    );
  }
  {
    await using server = await startServer({ home });
    try {
      const machine = await server.client.machines.create();
      await machine.kill();
    } catch (cause) {
      throw new Error(`no first machine; the server's log:\n${server.log}`, { cause });
    }
  }
  project.provide("preparedHome", home);
}

/**
 * A fresh home with the image and template of the prepared one.
 *
 * @param how - "link" shares their folders; "copy" gives files of its own that a test may damage.
 */
export async function linkHome(prepared: string, how: "link" | "copy" = "link"): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "nullspace-test-"));
  for (const part of ["images", "snapshots"]) {
    const [from, to] = [join(prepared, part), join(home, part)];
    if (how === "link") {
      // What a test adds is its own.
      await mkdir(to);
      for (const name of await readdir(from)) await symlink(join(from, name), join(to, name));
    } else execFileSync("cp", ["-a", "--sparse=always", from, to]);
  }
  return home;
}

/** Removes a home that {@link linkHome} made. */
export async function removeHome(home: string): Promise<void> {
  await rm(home, { recursive: true, force: true });
}
