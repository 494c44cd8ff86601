import type { Cgroups } from "../host/confinement/cgroups.js";
import { Confinement } from "../host/confinement/confinement.js";
import { HostHome } from "../host/home.js";
import { findNetworkProblem } from "../host/network/requirements.js";
import { ImageStore } from "../host/image-store.js";
import { Hypervisor } from "../host/qemu/hypervisor.js";
import { VerifiedFiles } from "../host/verified-files.js";
import { Fault } from "@nullspace/proto/fault";
import { type Check, fail, ok, warn } from "./check.js";

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Looks at what running machines takes: QEMU, an image, an accelerator, limits. */
export async function* checkHost(path: string, qemu: string): AsyncGenerator<Check> {
  const home = await HostHome.open(path);
  const confinement = await Confinement.open(path, silent);
  const hypervisor = await Hypervisor.open(home, confinement, silent, qemu);
  try {
    const { path: program, version } = await hypervisor.binary();
    yield ok("qemu", `${version} (${program})`);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    yield fail("qemu", error.message, error.remedy);
    return;
  }
  yield checkLimits(confinement.cgroups);
  yield checkView(confinement.ownView);
  yield await checkNetwork();
  const [image, ...others] = await new ImageStore(home, new VerifiedFiles()).list();
  if (image === undefined) {
    yield warn(
      "image",
      `none under ${home.images}`,
      "Build it: npm start does, in the repository.",
    );
    return;
  }
  yield ok("image", `${image.name}:${image.tag}, and ${others.length} more`);
  const { accelerator, reason } = await hypervisor.acceleration(image);
  yield accelerator === "kvm"
    ? ok("accelerator", `kvm: ${reason}`)
    : warn("accelerator", `tcg: ${reason}`, "Machines run about 20 times slower than with KVM.");
}

async function checkNetwork(): Promise<Check> {
  const problem = await findNetworkProblem();
  if (problem === undefined) return ok("network", "each machine may have one of its own");
  return warn("network", `machines have none: ${problem.what}`, problem.remedy);
}

function checkLimits(cgroups: Cgroups): Check {
  if (cgroups.enabled) return ok("limits", "memory, processors and threads of each machine");
  return warn(
    "limits",
    "this process may not make control groups",
    "Run as root where cgroups are writable, so that a machine cannot use more than its share.",
  );
}

function checkView(ownView: boolean): Check {
  if (ownView) return ok("confinement", "QEMU has no network, and no files but its machine's");
  return warn(
    "confinement",
    "QEMU sees this host's files and networks: this process may not make namespaces",
    "Run as root, in a container with CAP_SYS_ADMIN, so that breaking out of a machine leads nowhere.",
  );
}
