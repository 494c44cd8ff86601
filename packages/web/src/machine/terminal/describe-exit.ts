/** How a program ended, in words. */
export function describeExit({
  exitCode,
  signal,
}: {
  exitCode: number;
  signal?: string | undefined;
}) {
  return signal === undefined
    ? `The program ended with exit code ${exitCode}.`
    : `The program was ended by ${signal}.`;
}
