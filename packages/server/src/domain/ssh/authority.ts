/** What a certificate says. */
export interface CertificateRequest {
  /** As OpenSSH writes it: type and key, no comment. */
  readonly publicKey: string;
  /** Whom it lets in where. */
  readonly principal: string;
  /** Shown in the log of whoever accepts it. */
  readonly keyId: string;
  readonly validFrom: Date;
  /** In whole seconds. */
  readonly validUntil: Date;
}

/** Signs the public keys of users, for machines that trust it. */
export interface SshAuthority {
  /**
   * Its public key, as OpenSSH writes it.
   *
   * @throws Fault SSH_KEYGEN_MISSING.
   */
  publicKey(): Promise<string>;
  /**
   * Makes a certificate.
   *
   * @throws Fault SSH_KEYGEN_MISSING, INVALID_ARGUMENT when the key is not accepted.
   */
  sign(request: CertificateRequest): Promise<string>;
}

/** The sshd of each machine. */
export interface MachineSshds {
  /**
   * Sees to it that a machine's sshd answers, and lets in only who has a certificate
   * of this authority for this principal.
   *
   * @returns The machine's host key, as the machine tells it: not to be trusted to be one.
   * @throws Fault SSH_UNAVAILABLE, AGENT_UNREACHABLE.
   */
  prepare(
    machineId: string,
    admission: { readonly authority: string; readonly principal: string },
    signal: AbortSignal,
  ): Promise<string>;
}
