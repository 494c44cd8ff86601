import type { Project, ProjectLimits } from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { hint, print, printJson, table } from "../terminal.js";

/** Options of commands that set limits. */
export interface LimitFlags extends CommonOptions, ProjectLimits {}

/** `nullspace project create` */
export async function createProject(name: string, flags: LimitFlags): Promise<void> {
  await using client = await openClient(flags);
  const project = await client.projects.create(name, { limits: limitsOf(flags) });
  if (flags.json) return printJson(project);
  print(`${project.id}\n`);
  hint(`A key for it: nullspace key create --project ${project.id} <name>`);
}

/** Options of `nullspace project list`. */
export interface ListProjectsFlags extends CommonOptions {
  limit?: number;
  cursor?: string;
}

/** `nullspace project list` */
export async function listProjects(flags: ListProjectsFlags): Promise<void> {
  await using client = await openClient(flags);
  const page = await client.projects.list({ limit: flags.limit, cursor: flags.cursor });
  if (flags.json) return printJson({ items: page.items, nextCursor: page.nextCursor ?? null });
  const rows = page.items.map(({ id, createdAt, effectiveLimits }) => [
    id,
    createdAt.toISOString(),
    textOf(effectiveLimits),
  ]);
  print(table(["PROJECT", "CREATED", "LIMITS"], rows));
  if (page.nextCursor !== undefined) hint(`more: add --cursor ${page.nextCursor}`);
}

/** `nullspace project get` */
export async function showProject(name: string | undefined, flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const project = await client.projects.get(name);
  if (flags.json) return printJson(project);
  const { usage, effectiveLimits: limits } = project;
  const row = (what: string, used: number | string, most: number | undefined) => [
    what,
    String(used),
    most ? String(most) : "no limit",
  ];
  const rows = [
    row("calls a second", "", limits.requestsPerSecond),
    row("machines", usage.machines, limits.machines),
    row("vcpus", usage.vcpus, limits.vcpus),
    row("memory (MiB)", usage.memoryMb, limits.memoryMb),
    row("snapshots", usage.snapshots, limits.snapshots),
    row("snapshots (MiB)", Math.ceil(usage.snapshotBytes / (1 << 20)), limits.snapshotMb),
    row("SSH connections", usage.sshConnections, limits.sshConnections),
  ];
  print(table([project.id.toUpperCase(), "USED", "LIMIT"], rows));
}

/** `nullspace project limit` */
export async function limitProject(name: string, flags: LimitFlags): Promise<void> {
  await using client = await openClient(flags);
  const project = await client.projects.setLimits(name, limitsOf(flags));
  if (flags.json) printJson(project);
  else print(`${describe(project)}\n`);
}

function limitsOf(flags: LimitFlags): ProjectLimits {
  const { requestsPerSecond, requestBurst, machines, vcpus, memoryMb } = flags;
  const { snapshots, snapshotMb, sshConnections } = flags;
  const holdings = { machines, vcpus, memoryMb, snapshots, snapshotMb, sshConnections };
  return { requestsPerSecond, requestBurst, ...holdings };
}

function describe({ id, effectiveLimits }: Project): string {
  return `${id}  ${textOf(effectiveLimits)}`;
}

function textOf(limits: ProjectLimits): string {
  const given = Object.entries(limits).filter(([, most]) => most);
  return given.map(([name, most]) => `${name}=${most}`).join(" ") || "none";
}
