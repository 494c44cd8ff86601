import type { Command } from "commander";
import type { SshFlags } from "./ssh.js";
import type { AccessFlags, ListFlags } from "./ssh-access.js";
import { type CommonOptions, seconds, wholeNumber, withCommonOptions } from "../options.js";

/** Adds `nullspace ssh ...`. */
export function addSshCommands(program: Command): void {
  const ssh = withExpiry(withCommonOptions(program.command("ssh")))
    .description("log in to a machine with this computer's OpenSSH, with a key for this once")
    .usage("[options] <machine> [ssh's options] [command...]\n       nullspace ssh <command>")
    .argument("<machine>", "id of the machine, or user@id")
    .argument("[arguments...]", "options of ssh and a command, passed on as they are")
    .option("-l, --login <user>", "whom to log in as")
    .passThroughOptions()
    .addHelpText(
      "after",
      `
Examples:
  $ nullspace ssh $id
  $ nullspace ssh root@$id apt-get update
  $ nullspace ssh $id -L 8080:localhost:80 -N
  $ rsync -a -e "nullspace ssh" src/ $id:/workspace/src/
  $ nullspace ssh config $id                  for ssh, scp, sftp and editors themselves

The exit code is the command's own; 255 when there is no connection.`,
    )
    .action(async (target: string, args: string[], options: SshFlags) => {
      process.exitCode = await (await import("./ssh.js")).ssh(target, args, options);
    });

  withExpiry(withCommonOptions(ssh.command("config")))
    .description("print the lines for ~/.ssh/config that let ssh, scp, rsync and editors in")
    .argument("<machine>", "id of the machine")
    .action(async (id: string, _: object, command: Command) =>
      (await import("./ssh.js")).config(id, command.optsWithGlobals<SshFlags>()),
    );

  withCommonOptions(ssh.command("renew"))
    .description("renew what ssh config made, if it is time; ssh runs this by itself")
    .argument("<machine>", "id of the machine")
    .action(async (id: string, _: object, command: Command) =>
      (await import("./ssh.js")).renew(id, command.optsWithGlobals<SshFlags>()),
    );

  ssh
    .command("proxy")
    .description(
      "carry a connection to the machine's sshd over standard input and output: a ProxyCommand",
    )
    .argument("<machine>", "id of the machine")
    .action(async (id: string) => (await import("./ssh.js")).proxy(id));

  withExpiry(withCommonOptions(ssh.command("access")))
    .description("sign a public key of yours, and print all that OpenSSH needs")
    .argument("<machine>", "id of the machine")
    .argument("<public-key>", "file, such as ~/.ssh/id_ed25519.pub")
    .action(async (id: string, keyFile: string, _: object, command: Command) =>
      (await import("./ssh-access.js")).createAccess(
        id,
        keyFile,
        command.optsWithGlobals<AccessFlags>(),
      ),
    );

  withCommonOptions(ssh.command("list"))
    .alias("ls")
    .description("list what was granted for a machine")
    .argument("<machine>", "id of the machine")
    .option("--limit <count>", "accesses on a page, 1 to 100", wholeNumber)
    .option("--cursor <cursor>", "the page to begin with")
    .action(async (id: string, _: object, command: Command) =>
      (await import("./ssh-access.js")).listAccess(id, command.optsWithGlobals<ListFlags>()),
    );

  withCommonOptions(ssh.command("revoke"))
    .alias("rm")
    .description("end accesses at once, and the connections they are used for")
    .argument("<access...>", "ids of the accesses, as ssh list shows them")
    .action(async (ids: string[], _: object, command: Command) =>
      (await import("./ssh-access.js")).revokeAccess(ids, command.optsWithGlobals<CommonOptions>()),
    );
}

function withExpiry(command: Command): Command {
  return command.option(
    "--expires-in <time>",
    "how long it is good, from 1m to 24h (default: 24h; access: 1h)",
    seconds,
  );
}
