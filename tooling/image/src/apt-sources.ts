import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/**
 * The host's own package sources of one Debian suite, as text of a
 * `sources.list`-like file in deb822 format, or an empty string if it has none
 * (mmdebstrap then takes Debian's own). Mirrors, keys and options are kept as
 * they are; entries of other suites and of other vendors are left out.
 */
export async function hostSources(suite: string, etcApt = "/etc/apt"): Promise<string> {
  const parts = join(etcApt, "sources.list.d");
  const names = (await readdir(parts).catch(missing<string[]>([]))).toSorted();
  const stanzas: string[] = [];
  const main = await readFile(join(etcApt, "sources.list"), "utf8").catch(missing(""));
  stanzas.push(...selectOneLine(main, suite));
  for (const name of names) {
    if (name.endsWith(".list")) {
      stanzas.push(...selectOneLine(await readFile(join(parts, name), "utf8"), suite));
    } else if (name.endsWith(".sources")) {
      stanzas.push(...selectDeb822(await readFile(join(parts, name), "utf8"), suite));
    }
  }
  return stanzas.map((stanza) => `${stanza}\n`).join("\n");
}

/** The host's way to its mirrors (proxies, certificates), as options of apt's configuration. */
export async function hostAptOptions(signal?: AbortSignal): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    "apt-config",
    ["dump", "--no-empty", "--format", '%F "%v";%n', "Acquire"],
    { signal },
  );
  return stdout.split("\n").filter((line) => /^Acquire::(https?|Check-Valid-Until)\b/.test(line));
}

/** Stanzas of a deb822 file (`*.sources`) that offer binary packages of the suite, narrowed to it. */
export function selectDeb822(text: string, suite: string): string[] {
  const selected: string[] = [];
  for (const paragraph of text.split(/\n[ \t]*(?:\n|$)/)) {
    const lines = paragraph.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const suites = words(field(lines, "Suites")).filter((name) => belongsTo(name, suite));
    const enabled = !/^(no|false|off|0|without|disable)$/i.test(field(lines, "Enabled"));
    if (suites.length === 0 || !enabled || !words(field(lines, "Types")).includes("deb")) continue;
    const kept = withoutFields(lines, ["Types", "Suites"]);
    selected.push(["Types: deb", `Suites: ${suites.join(" ")}`, ...kept].join("\n"));
  }
  return selected;
}

/** Entries of a one-line file (`*.list`) that offer binary packages of the suite, as deb822 stanzas. */
export function selectOneLine(text: string, suite: string): string[] {
  const selected: string[] = [];
  for (const line of text.split("\n")) {
    const entry = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (entry === null) continue;
    const [, options = "", uri = "", name = "", components = ""] = entry;
    if (!belongsTo(name, suite)) continue;
    const stanza = ["Types: deb", `URIs: ${uri}`, `Suites: ${name}`];
    if (components.trim() !== "") stanza.push(`Components: ${words(components).join(" ")}`);
    for (const option of words(options)) {
      const [key = "", value = ""] = option.split("=", 2);
      const spelled = DEB822_OPTIONS[key];
      if (spelled !== undefined) stanza.push(`${spelled}: ${value.replaceAll(",", " ")}`);
    }
    selected.push(stanza.join("\n"));
  }
  return selected;
}

/** Options of a one-line entry that matter for trust and reach, by their deb822 name. */
const DEB822_OPTIONS: Readonly<Record<string, string>> = {
  "signed-by": "Signed-By",
  trusted: "Trusted",
  "check-valid-until": "Check-Valid-Until",
  "allow-insecure": "Allow-Insecure",
};

/** Whether a suite of an entry is this one or its updates. */
function belongsTo(name: string, suite: string): boolean {
  return [suite, `${suite}-updates`, `${suite}-security`, `${suite}/updates`].includes(name);
}

/** Value of a field, continuation lines included; empty if it is not there. */
function field(lines: readonly string[], name: string): string {
  const start = lines.findIndex((line) => isField(line, name));
  const first = lines[start];
  if (first === undefined) return "";
  const value = [first.slice(name.length + 1)];
  for (const line of lines.slice(start + 1)) {
    if (!/^\s/.test(line)) break;
    value.push(line);
  }
  return value.join(" ").trim();
}

/** The lines of a stanza without the named fields and their continuation lines. */
function withoutFields(lines: readonly string[], names: readonly string[]): string[] {
  let dropping = false;
  return lines.filter((line) => {
    if (!/^\s/.test(line)) dropping = names.some((name) => isField(line, name));
    return !dropping;
  });
}

function isField(line: string, name: string): boolean {
  return line.toLowerCase().startsWith(`${name.toLowerCase()}:`);
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

/** Takes a missing file for the given value and lets every other failure pass. */
function missing<T>(instead: T): (cause: unknown) => T {
  return (cause) => {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return instead;
    throw cause;
  };
}
