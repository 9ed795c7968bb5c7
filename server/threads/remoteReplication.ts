import type { Grant } from '../../engine/types.js';
import type { RoleLogin, Standing } from '../../readmodel/index.js';
import type { Opened, Renewal, SessionReplication, SlotUse } from '../ports.js';
import type { CallClient } from './callClient.js';

/** The keeper of replication slots as sessions on another thread see it. */
export class RemoteReplication implements SessionReplication {
  constructor(private readonly client: CallClient) {}

  roleFor(grants: readonly Grant[]): Promise<RoleLogin> {
    return this.client.call('replicationRoleFor', [grants]);
  }

  standing(): Promise<Standing> {
    return this.client.call('replicationStanding', []);
  }

  announce(name: string, holder: string, kind: 'temporary' | 'one' | 'twoPhase'): Promise<Standing> {
    return this.client.call('slotAnnounce', [name, holder, kind]);
  }

  announced(name: string, incarnation: string | null): Promise<void> {
    return this.client.call('slotAnnounced', [name, incarnation]);
  }

  droppable(name: string, holder: string, admin: boolean): Promise<boolean> {
    return this.client.call('slotDroppable', [name, holder, admin]);
  }

  dropped(name: string): Promise<void> {
    return this.client.call('slotDropped', [name]);
  }

  open(use: SlotUse): Promise<Opened> {
    return this.client.call('slotOpen', [use]);
  }

  follow(name: string, { incarnation, renewal }: Renewal, signal: AbortSignal): Promise<void> {
    return this.client.call('slotFollow', [name, { incarnation, renewal }], signal);
  }

  flushed(name: string, incarnation: string, lsn: bigint): Promise<void> {
    return this.client.call('slotFlushed', [name, incarnation, lsn]);
  }
}
