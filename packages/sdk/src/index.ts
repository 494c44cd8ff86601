export type { Audit, AuditEntry, ListAuditOptions } from "./audit.js";
export type { CallOptions } from "./call.js";
export type { Commands } from "./commands/commands.js";
export type { CommandHandle, WaitOptions } from "./commands/handle.js";
export type {
  BaseCommandOptions,
  CommandOptions,
  ConnectCommandOptions,
  ProgramOptions,
  ShellOptions,
  Signal,
  StdinSource,
} from "./commands/options.js";
export type { CommandOutput } from "./commands/output.js";
export type { CommandLogs, ProcessInfo } from "./commands/processes.js";
export type { CommandEnd, CommandResult } from "./commands/result.js";
export { type ConnectionOptions, DEFAULT_URL } from "./configuration.js";
export * from "./errors.js";
export type {
  Events,
  EventType,
  LifecycleEvent,
  ListEventsOptions,
  WatchEventsOptions,
} from "./events.js";
export type { Files } from "./files/files.js";
export type { FileInfo, FileType } from "./files/info.js";
export type {
  FileContent,
  FileEvent,
  FileToWrite,
  FindOptions,
  FindResult,
  ListFilesOptions,
  MakeDirOptions,
  PatternOptions,
  ReadFormat,
  ReadOptions,
  RemoveOptions,
  ReplaceOptions,
  ReplaceResult,
  SearchMatch,
  SearchOptions,
  SearchResult,
  SetOwnerOptions,
  SetPermissionsOptions,
  WatchFilesOptions,
  WriteOptions,
} from "./files/options.js";
export type { ForkOptions, ForkResult, Forked } from "./fork.js";
export type { TransferUrl, TransferUrlOptions, UploadUrlOptions } from "./files/transfer-url.js";
export type { FileWatch } from "./files/watch.js";
export type { Git } from "./git/git.js";
export type * from "./git/options.js";
export type * from "./git/results.js";
export type {
  ApiKey,
  CreatedApiKey,
  CreateKeyOptions,
  Keys,
  ListKeysOptions,
  RotateSigningOptions,
  SigningKey,
} from "./keys.js";
export { Machine } from "./machine.js";
export type {
  MachineField,
  MachineInfo,
  MachineState,
  TimeoutAction,
  WarmPoolMode,
} from "./machine-info.js";
export type {
  AdoptionReceipt,
  ConnectOptions,
  CreateOptions,
  GetInfoOptions,
  ListOptions,
  RestoreKind,
  RunOnceOptions,
  SetTimeoutOptions,
} from "./machine-options.js";
export type { Machines } from "./machines.js";
export type { CustomEgress, EgressPolicy, EgressRateLimit, NetworkOptions } from "./network.js";
export { Nullspace } from "./nullspace.js";
export type { Page, PagePromise } from "./page.js";
export type {
  CreateProjectOptions,
  ListProjectsOptions,
  Project,
  ProjectLimits,
  Projects,
  ProjectUsage,
  ProjectWithUsage,
} from "./projects.js";
export type { Scope } from "./scopes.js";
export {
  type CreateSnapshotOptions,
  type ListSnapshotsOptions,
  Snapshot,
  type SnapshotInfo,
  type SnapshotKind,
  type Snapshots,
} from "./snapshots.js";
export type {
  ListPreviewsOptions,
  PreviewGrant,
  PreviewHostInfo,
  PreviewProxyOptions,
  PreviewProxyTarget,
  PreviewReadiness,
  PreviewTransport,
  PreviewUrl,
  SignedPreviewOptions,
  SignedPreviewUrl,
  WaitForPreviewOptions,
} from "./previews/options.js";
export type {
  CreateSshAccessOptions,
  ListSshAccessOptions,
  SshAccess,
  SshAccessInfo,
} from "./ssh.js";
export type { Previews } from "./previews/previews.js";
export { redactPreviewToken, redactPreviewUrl } from "@nullspace/proto";
export type {
  ConnectPtyOptions,
  CreatePtyOptions,
  PtyExit,
  PtyInfo,
  PtyOutput,
  PtySize,
} from "./pty/options.js";
export type { Pty } from "./pty/pty.js";
export type { PtySession } from "./pty/session.js";
export type {
  DownloadDirOptions,
  DownloadFileOptions,
  DownloadFileResult,
  TransferDirResult,
  TransferEntry,
  TransferOptions,
  TransferProgress,
  UploadDirOptions,
  UploadFileOptions,
  UploadFileResult,
} from "./transfer/options.js";
