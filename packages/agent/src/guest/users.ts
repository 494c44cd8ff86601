import { readFileSync, statSync } from "node:fs";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

export interface User {
  name: string;
  uid: number;
  gid: number;
  /** Supplementary groups, the primary one included. */
  groups: readonly number[];
  home: string;
  shell: string;
}

/** Users and groups of the guest, as /etc/passwd and /etc/group say, read again only when these change. */
export class UserDatabase {
  readonly #passwd: LineFile;
  readonly #group: LineFile;
  readonly #defaultName: string;
  readonly #users = new Map<string, User>();

  /**
   * @param defaultName who is meant where a request names nobody.
   * @param etc the folder of both files.
   */
  constructor(defaultName: string, etc = "/etc") {
    this.#defaultName = defaultName;
    this.#passwd = new LineFile(`${etc}/passwd`);
    this.#group = new LineFile(`${etc}/group`);
  }

  /**
   * The user of a name, or the default one when it is empty.
   *
   * @throws Fault with `unknown` when the guest has no such user.
   */
  find(name: string, unknown: ErrorReason): User {
    const wanted = name || this.#defaultName;
    // Both are asked, whatever the first says: each notes that it is up to date.
    const changed = [this.#passwd.refresh(), this.#group.refresh()];
    if (changed.includes(true)) this.#users.clear();
    const known = this.#users.get(wanted) ?? this.#read(wanted);
    if (known === undefined) {
      throw new Fault(unknown, `the machine has no user ${wanted}`, {
        remedy: "Name a user of /etc/passwd, or leave it empty.",
        details: { user: wanted },
      });
    }
    this.#users.set(wanted, known);
    return known;
  }

  /**
   * The ids of an owner and a group, each given by name or number; -1, which
   * leaves it as it is, for one that is empty. A user's name alone brings the
   * user's own group.
   *
   * @throws Fault INVALID_ARGUMENT for a name that the guest does not know.
   */
  findOwner(user: string, group: string): { uid: number; gid: number } {
    const isNumber = /^\d+$/.test(user);
    const known =
      user === "" || isNumber ? undefined : this.find(user, ErrorReason.INVALID_ARGUMENT);
    const uid = known?.uid ?? (isNumber ? Number(user) : -1);
    return { uid, gid: group === "" ? (known?.gid ?? -1) : this.#findGroup(group) };
  }

  #findGroup(group: string): number {
    if (/^\d+$/.test(group)) return Number(group);
    this.#group.refresh();
    const entry = this.#group.lines.find(([name]) => name === group);
    if (entry !== undefined) return Number(entry[2]);
    throw new Fault(ErrorReason.INVALID_ARGUMENT, `the machine has no group ${group}`, {
      remedy: "Name a group of /etc/group, or give its number.",
      details: { group },
    });
  }

  /** Name of a uid; the number where it has none. */
  userName(uid: number): string {
    this.#passwd.refresh();
    return this.#passwd.names.get(String(uid)) ?? String(uid);
  }

  /** Name of a gid; the number where it has none. */
  groupName(gid: number): string {
    this.#group.refresh();
    return this.#group.names.get(String(gid)) ?? String(gid);
  }

  #read(name: string): User | undefined {
    const entry = this.#passwd.lines.find((fields) => fields[0] === name);
    if (entry === undefined) return undefined;
    const [, , uid, gid, , home, shell] = entry;
    const groups = this.#group.lines
      .filter(([, , , members]) => members?.split(",").includes(name))
      .map((fields) => Number(fields[2]));
    return {
      name,
      uid: Number(uid),
      gid: Number(gid),
      groups: [...new Set([Number(gid), ...groups])],
      home: home || "/",
      shell: shell || "/bin/sh",
    };
  }
}

/** A file of lines of fields between colons, the first a name and the third its number. */
class LineFile {
  readonly #path: string;
  #version = "";
  lines: string[][] = [];
  names = new Map<string, string>();

  constructor(path: string) {
    this.#path = path;
  }

  /** Reads the file again if it has changed; says whether it had. */
  refresh(): boolean {
    const stat = statSync(this.#path, { throwIfNoEntry: false });
    const version = stat === undefined ? "none" : `${stat.ino} ${stat.mtimeMs} ${stat.size}`;
    if (version === this.#version) return false;
    this.#version = version;
    const text = stat === undefined ? "" : readFileSync(this.#path, "utf8");
    this.lines = text.split("\n").map((line) => line.split(":"));
    this.names = new Map(this.lines.map(([name = "", , id = ""]) => [id, name]));
    return true;
  }
}
