/** The folder that a path is in; `/` for the root itself. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** A name in a folder; an absolute path stays as it is. */
export function joined(folder: string, name: string): string {
  if (name.startsWith("/")) return name;
  return folder.endsWith("/") ? `${folder}${name}` : `${folder}/${name}`;
}

/** A folder and all that it is in, the root first. */
export function lineOf(path: string): { name: string; path: string }[] {
  const names = path.split("/").filter((name) => name !== "");
  return [
    { name: "/", path: "/" },
    ...names.map((name, index) => ({ name, path: `/${names.slice(0, index + 1).join("/")}` })),
  ];
}

/** The path that a link in a folder leads to, as it is written. */
export function resolved(folder: string, target: string): string {
  const names: string[] = [];
  for (const name of joined(folder, target).split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return `/${names.join("/")}`;
}
