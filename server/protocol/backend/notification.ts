/** NotificationResponse ('A'): what NOTIFY sent to a channel listened to. */
import { BodyReader, cstringBytes, putCstring, startMessage } from '../bytes.js';

export const NOTIFICATION_RESPONSE = 0x41;

export interface Notification {
  readonly processId: number;
  readonly channel: string;
  readonly payload: string;
}

export function encodeNotificationResponse({ processId, channel, payload }: Notification): Buffer {
  const message = startMessage(NOTIFICATION_RESPONSE, 4 + cstringBytes(channel) + cstringBytes(payload));
  const at = message.writeInt32BE(processId, 5);
  putCstring(message, putCstring(message, at, channel), payload);
  return message;
}

export function decodeNotificationResponse(body: Buffer): Notification {
  const reader = new BodyReader(body, 'NotificationResponse');
  const notification = { processId: reader.int32(), channel: reader.cstring(), payload: reader.cstring() };
  reader.end();
  return notification;
}
