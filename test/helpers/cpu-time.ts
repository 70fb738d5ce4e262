/**
 * Measures the processor time of this process from now on. It does not include other programs on the machine.
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
