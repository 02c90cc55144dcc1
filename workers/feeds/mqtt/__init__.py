"""MQTT: frames that notifications announce, and notifications of published nowcasts. Needs the extra `mqtt`."""
