/** Labels of a machine or a snapshot. */
export function Labels({ metadata }: { metadata: Record<string, string> }) {
  const pairs = Object.entries(metadata);
  if (pairs.length === 0) return undefined;
  return (
    <ul className="labels" aria-label="Labels">
      {pairs.map(([name, value]) => (
        <li key={name}>
          {name}=<b>{value}</b>
        </li>
      ))}
    </ul>
  );
}
