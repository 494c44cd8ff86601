/** What a configuration of sshd is made of. Paths hold no spaces. */
export interface SshdConfigParts {
  /** Private host key. */
  hostKey: string;
  /** Public keys of the authorities whose certificates are accepted. */
  authorities: string;
  /** The principals whose certificates are accepted, one a line. */
  principals: string;
  /** Environment of every session. */
  envs: Readonly<Record<string, string>>;
}

/**
 * The configuration of an sshd that accepts certificates and nothing else. It is
 * our own, not that of /etc/ssh: what users change there is for an sshd of their own.
 */
export function sshdConfig({ hostKey, authorities, principals, envs }: SshdConfigParts): string {
  const lines = [
    "# Written by Nullspace before each connection.",
    `HostKey ${hostKey}`,
    `TrustedUserCAKeys ${authorities}`,
    `AuthorizedPrincipalsFile ${principals}`,
    // A key that is not in a certificate opens nothing, whatever stands in anybody's home.
    "AuthorizedKeysFile none",
    "AuthenticationMethods publickey",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "HostbasedAuthentication no",
    "PermitEmptyPasswords no",
    "PermitRootLogin prohibit-password",
    // Accounts without a password are good accounts here; PAM would want them unlocked.
    "UsePAM no",
    "UseDNS no",
    "LoginGraceTime 60",
    // Of one connection; editors open dozens of channels.
    "MaxSessions 100",
    "AllowTcpForwarding yes",
    "AllowStreamLocalForwarding yes",
    "GatewayPorts no",
    // Whatever runs in the machine could use the keys of whoever is connected.
    "AllowAgentForwarding no",
    "X11Forwarding no",
    "PermitTunnel no",
    "PermitUserEnvironment no",
    "PermitUserRC no",
    "AcceptEnv LANG LC_* COLORTERM",
    // Ends the sessions of clients that have gone without a word.
    "ClientAliveInterval 60",
    "ClientAliveCountMax 3",
    "PrintMotd no",
    "PrintLastLog no",
    "PidFile none",
    "Subsystem sftp internal-sftp",
  ];
  const settings = Object.entries(envs).filter(isSettable).map(quoteSetting);
  // sshd takes the first such line and no other.
  if (settings.length > 0) lines.push(`SetEnv ${settings.join(" ")}`);
  return `${lines.join("\n")}\n`;
}

/** A line of the configuration can hold neither another line nor another kind of name. */
function isSettable([name, value]: [string, string]): boolean {
  // oxlint-disable-next-line no-control-regex -- these are what it is about
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !/[\u0000-\u001f\u007f]/.test(value);
}

function quoteSetting([name, value]: [string, string]): string {
  return `"${name}=${value.replaceAll(/["'\\]/g, String.raw`\$&`)}"`;
}
