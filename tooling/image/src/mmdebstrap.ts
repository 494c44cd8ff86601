import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hostAptOptions, hostSources } from "./apt-sources.ts";
import { DEBIAN_SUITE } from "./definition.ts";
import type { StageContext } from "./stage.ts";

/** The file whose content is an input of every stage that uses it. */
export const MMDEBSTRAP_RECIPE = import.meta.filename;

/** Files that nothing in a machine reads: documentation and translations. */
const EXCLUDED_PATHS = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*"];

/** What mmdebstrap is asked for. */
export interface Debian {
  /** `extract` only unpacks; `minbase` installs essential packages and apt as well. */
  variant: "extract" | "minbase";
  packages: readonly string[];
  /** Folder to make. */
  target: string;
  /** More options, such as hooks. */
  options?: readonly string[];
}

/** Makes a Debian in a folder, from the host's own mirrors. */
export async function mmdebstrap(context: StageContext, debian: Debian): Promise<void> {
  const sources = join(context.scratch, "debian.sources");
  const text = await hostSources(DEBIAN_SUITE);
  await writeFile(sources, text);
  const aptOptions = [
    ...(await hostAptOptions(context.signal)),
    'Acquire::Languages "none"',
    'Acquire::Retries "3"',
  ];
  // The folder is renamed only when it is whole and on the disk: dpkg need not sync every file.
  const dpkgOptions = ["force-unsafe-io", ...EXCLUDED_PATHS.map((path) => `path-exclude=${path}`)];
  await context.run(
    "mmdebstrap",
    [
      "--mode=root",
      "--format=directory",
      `--variant=${debian.variant}`,
      `--include=${debian.packages.join(",")}`,
      ...aptOptions.map((option) => `--aptopt=${option}`),
      ...dpkgOptions.map((option) => `--dpkgopt=${option}`),
      ...(debian.options ?? []),
      DEBIAN_SUITE,
      debian.target,
      ...(text === "" ? [] : [sources]),
    ],
    {
      isolated: true,
      remedy:
        "Check that this machine reaches its Debian mirror (apt-get update) and has disk space.",
    },
  );
}
