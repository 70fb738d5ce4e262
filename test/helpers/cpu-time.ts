/**
 * Measures what this process computes from now on: other programs on the machine do not count.
 *
 * @returns Milliseconds of processor time since the call, user and system.
 */
export function cpuTimer(): () => number {
  const began = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(began);
    return (user + system) / 1_000;
  };
}
