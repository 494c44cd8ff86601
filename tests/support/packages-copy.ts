import { cp, readFile, realpath } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseJson } from "./json.js";

/**
 * Copies a package that is installed here, with all that it needs, into a folder that can
 * be moved: without links, with the native parts for x64 Linux.
 *
 * @param importer - file whose imports decide which version it is.
 * @param folder - gets a `node_modules`.
 */
export async function copyPackage(name: string, importer: string, folder: string): Promise<void> {
  await copyInto(name, importer, join(folder, "node_modules"), new Set());
}

async function copyInto(
  name: string,
  importer: string,
  modules: string,
  copied: Set<string>,
): Promise<void> {
  if (copied.has(name)) return;
  copied.add(name);
  const source = await find(name, importer);
  await cp(source, join(modules, name), {
    recursive: true,
    dereference: true,
    filter: (path) => !path.slice(source.length).includes("node_modules"),
  });
  const manifest = join(source, "package.json");
  const needed = parseJson(await readFile(manifest, "utf8"));
  const names = (field: string) => {
    const versions: unknown = Reflect.get(Object(needed), field);
    return typeof versions === "object" && versions !== null ? Object.keys(versions) : [];
  };
  const native = names("optionalDependencies").filter((one) => one.endsWith("linux-x64-gnu"));
  for (const one of [...names("dependencies"), ...native]) {
    await copyInto(one, manifest, modules, copied);
  }
}

async function find(name: string, importer: string): Promise<string> {
  for (const folder of createRequire(importer).resolve.paths(name) ?? []) {
    try {
      return await realpath(join(folder, name));
    } catch {
      // Further up, then.
    }
  }
  throw new Error(`${name} is not installed for ${importer}`);
}
