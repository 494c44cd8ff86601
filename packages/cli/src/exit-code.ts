/** Exit codes that scripts can branch on. */
export const ExitCode = {
  Ok: 0,
  Other: 1,
  Usage: 2,
  NotFound: 3,
  Unauthenticated: 4,
  PermissionDenied: 5,
  Exhausted: 6,
  Conflict: 7,
  Runtime: 8,
} as const;
