import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { User } from "../guest/users.js";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The environment of a process as `NAME=value`: what every login of the user
 * has, then each of `layers`, the later ones over the earlier.
 *
 * @throws Fault INVALID_ARGUMENT for a name or value that no environment can hold.
 */
export function environment(user: User, ...layers: Readonly<Record<string, string>>[]): string[] {
  const merged: Record<string, string> = {
    PATH,
    HOME: user.home,
    USER: user.name,
    LOGNAME: user.name,
    SHELL: user.shell,
    LANG: "C.UTF-8",
  };
  for (const layer of layers) Object.assign(merged, layer);
  return Object.entries(merged).map(([name, value]) => {
    if (name === "" || /[=\0]/.test(name) || value.includes("\0")) {
      throw new Fault(
        ErrorReason.INVALID_ARGUMENT,
        `the environment variable ${JSON.stringify(name)} is not valid`,
        {
          remedy: "Names are not empty and hold no '=', and nothing holds a NUL byte.",
          details: { field: "envs" },
        },
      );
    }
    return `${name}=${value}`;
  });
}
