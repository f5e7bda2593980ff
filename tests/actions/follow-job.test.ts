import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { followJob } from '../../src/actions/action.ts';
import { DoubleMachine } from '../hooks/double-machine.ts';
import { snapshotOf, tools } from './action-call.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const mebibyte = 1024 * 1024;

test('who waits for a job is told how far it is, in a line every few seconds', async () => {
  const machine = new DoubleMachine('landscape-backup/0', {});
  const lines: string[] = [];
  let polls = 0;
  machine.passTime = ({ id }) => {
    vi.advanceTimersByTime(500);
    polls += 1;
    const index = machine.jobs.findIndex((job) => job.id === id);
    const job = machine.jobs[index];
    if (polls === 60) machine.finish(id);
    else if (job !== undefined) {
      const bytes = polls * mebibyte;
      const step = {
        phase: 'copying the cluster',
        bytes,
        estimatedBytes: 100 * mebibyte,
        bytesPerSecond: 2 * mebibyte,
      };
      const progress = { at: machine.now, ...(polls < 3 ? { phase: 'checking' } : step) };
      machine.jobs[index] = { ...job, progress };
    }
  };
  const call = {
    tools: { ...tools, actionLog: async (line: string) => void lines.push(line) },
    machine: machine.toUnitMachine(),
    snapshot: snapshotOf(['postgresql']),
    params: { wait: 50 },
  };

  const { text } = await followJob(call, ['backup']);

  expect(text).toBe('backup done');
  expect(lines).toEqual([
    'checking',
    ...[3, 13, 23, 33, 43, 53].map(
      (at) => `copying the cluster: ${at < 100 ? at.toFixed(1) : at} MiB of 100 MiB (${at} %), 2.0 MiB/s`,
    ),
  ]);
});
