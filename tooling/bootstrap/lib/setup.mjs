import { join } from "node:path";
import { ensureDebianPackages, RUNTIME_PACKAGES } from "./debian-packages.mjs";
import { ensureGuestImage } from "./guest-image.mjs";
import { checkHost } from "./host.mjs";
import { DEFAULT_HOME } from "./paths.mjs";
import { ensureToolchain } from "./toolchain.mjs";
import { ensureBuild, ensureDependencies } from "./workspace.mjs";

/**
 * Makes everything that is needed and not there yet. Each step looks at what is
 * there, so a run that was cut off goes on where it was, and one after another
 * that was whole takes seconds.
 *
 * @param {object} options
 * @param {string} options.home where the guest image goes
 * @param {readonly string[]} [options.debianPackages] beyond those that running takes
 * @param {AbortSignal} options.signal
 */
export async function setUp({ home, debianPackages = [], signal }) {
  await checkHost();
  await ensureDebianPackages([...RUNTIME_PACKAGES, ...debianPackages], signal);
  await ensureToolchain(signal);
  await ensureDependencies(signal);
  await ensureBuild(signal);
  return await ensureGuestImage(home, join(DEFAULT_HOME, "cache/image"), signal);
}
