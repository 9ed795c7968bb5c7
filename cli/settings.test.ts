import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  DEFAULT_SETTINGS,
  parseSettings,
  readSettings,
  renderSettings,
  settingsPath,
  writeSettings,
} from './settings.js';

const directory = mkdtempSync(join(tmpdir(), 'eventful-settings-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('settings', () => {
  it('have defaults without a file', () => expect(readSettings(directory)).toEqual(DEFAULT_SETTINGS));

  it('come back as they were written', () => {
    const settings = {
      ...DEFAULT_SETTINGS,
      port: 5433,
      host: '::',
      readModelDirectory: '/srv/a "quoted" \\ path',
      socketDirectory: '/run/eventful',
      sessionThreads: 0,
      logLevel: 'debug',
    };
    writeSettings(directory, settings);
    expect(readSettings(directory)).toEqual(settings);
    expect(statSync(settingsPath(directory)).mode & 0o777).toBe(0o600);
  });

  it('explain every setting, also one without a value', () => {
    const lines = renderSettings(DEFAULT_SETTINGS).split('\n');
    const set = lines.filter((line) => /^(# )?\w+ = /.test(line));
    expect(set).toHaveLength(Object.keys(DEFAULT_SETTINGS).length);
    for (const line of set) expect(lines[lines.indexOf(line) - 1]).toMatch(/^# [A-Z]/);
  });

  it.each([
    ['[server]\nprot = 1', /no setting server\.prot/],
    ['port = 1', /no setting port/],
    ['[server]\nport = 70000', /server\.port must be a number from 0 to 65535/],
    ['[server]\nport = "9595"', /server\.port must be a number/],
    ['[server]\nsession_threads = 65', /server\.session_threads must be a number from 0 to 64/],
    ['[server]\nhost = ""', /server\.host must be text/],
    ['[read_model]\nhistory_mb = -1', /read_model\.history_mb must be a number from 0 to 1000000/],
    ['[log]\nlevel = "loud"', /log\.level must be one of/],
    ['[server', /not valid TOML/],
  ])('refuse %j', (toml, message) => expect(() => parseSettings(toml)).toThrow(message));
});
