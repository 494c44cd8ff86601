/**
 * A byte stream to whoever is the host at the moment. It outlives hosts: one
 * goes, another comes, and what is read or written in between belongs to nobody.
 */
export interface Port {
  /** The next bytes from the host; none when no host is there (any more). One read at a time. */
  read(): Promise<Buffer>;
  /**
   * Hands bytes over and resolves with how many were taken, at least one. Waits
   * while the host does not read, or is not there. One write at a time.
   */
  write(bytes: Buffer): Promise<number>;
  /** Resolves when a host is there. Called only after {@link read} found none. */
  waitForHost(): Promise<void>;
}
