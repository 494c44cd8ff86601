/** The sign of the empty set. */
export function Logo({ size }: { size: number }) {
  return (
    <svg className="logo" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <circle cx="16" cy="16" r="10" />
      <path d="M6.5 25.5 25.5 6.5" />
    </svg>
  );
}
