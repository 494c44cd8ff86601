import { run } from "./run.mjs";
import { step } from "./terminal.mjs";

/**
 * Installs the packages of the workspace, exactly as locked.
 *
 * @param {AbortSignal} signal
 */
export async function ensureDependencies(signal) {
  await step("Dependencies", (detail) =>
    run("pnpm", ["install", "--frozen-lockfile", "--config.confirmModulesPurge=false"], {
      log: "dependencies",
      signal,
      detail,
      remedy: "Check that this machine reaches its npm registry (npm ping) and run again.",
    }),
  );
}

/**
 * Builds every package whose inputs changed.
 *
 * @param {AbortSignal} signal
 */
export async function ensureBuild(signal) {
  await step("Build", (detail) =>
    run("turbo", ["run", "build", "--output-logs=new-only", "--ui=stream"], {
      log: "build",
      signal,
      detail,
      remedy: "The lines above name the package.",
    }),
  );
}
