/** What a configuration of the OpenSSH client is made of. */
export interface ClientConfigParts {
  /** Name that the user gives to ssh. */
  host: string;
  /** Whom to log in as, where nobody is named. */
  user: string;
  /** Folder of key, certificate and known hosts. */
  folder: string;
  /** Carries the connection. */
  proxy: readonly string[];
  /** Renews the access before each connection, where it is to last. */
  renew?: readonly string[];
}

/** Files of a folder that `ClientConfigParts` names. */
export const FILES = {
  key: "key",
  certificate: "key-cert.pub",
  knownHosts: "known_hosts",
  config: "config",
  relay: "relay.json",
} as const;

/** The name under which a machine's host key is known in the folder, whatever its id is now. */
export const KNOWN_AS = "machine";

/** Configuration with which ssh, scp, sftp, rsync and editors reach a machine. */
export function clientConfig({ host, user, folder, proxy, renew }: ClientConfigParts): string {
  const file = (name: string) => quotePath(`${folder}/${name}`);
  const match =
    renew === undefined ? `Host ${host}` : `Match originalhost ${host} exec "${command(renew)}"`;
  return [
    match,
    `  HostName ${host}`,
    `  User ${user}`,
    `  IdentityFile ${file(FILES.key)}`,
    `  CertificateFile ${file(FILES.certificate)}`,
    // No other key is shown to the machine, and none of an agent is lent to it.
    "  IdentitiesOnly yes",
    "  IdentityAgent none",
    "  ForwardAgent no",
    "  PreferredAuthentications publickey",
    `  HostKeyAlias ${KNOWN_AS}`,
    `  UserKnownHostsFile ${file(FILES.knownHosts)}`,
    "  StrictHostKeyChecking yes",
    "  CheckHostIP no",
    "  UpdateHostKeys no",
    "  ServerAliveInterval 30",
    "  ServerAliveCountMax 4",
    `  ProxyCommand ${command(proxy)}`,
    "",
  ].join("\n");
}

/** A command as the configuration holds it: for a shell, in double quotes or at the end of a line. */
function command(words: readonly string[]): string {
  return words.map(quoteWord).join(" ");
}

function quoteWord(word: string): string {
  refuse(word, /["\r\n\0]/);
  const escaped = escapePercent(word);
  return /^[A-Za-z0-9_./:@,+=-]+$/.test(word) ? escaped : `'${escaped.replaceAll("'", `'\\''`)}'`;
}

function quotePath(path: string): string {
  refuse(path, /["\r\n\0]/);
  return `"${escapePercent(path)}"`;
}

/** ssh writes what it knows in place of `%h` and the like, and of `${NAME}` in paths. */
function escapePercent(text: string): string {
  refuse(text, /\$\{/);
  return text.replaceAll("%", "%%");
}

function refuse(text: string, what: RegExp): void {
  if (what.test(text)) {
    throw new Error(`ssh's configuration cannot hold the path ${JSON.stringify(text)}`);
  }
}
