"""A Bluetooth heart-rate strap in the air around an emulated controller, by Google's bumble.

Two controllers share one simulated radio link. The strap (Heart Rate Profile 1.0) has one; the
other speaks HCI over a serial line (H4) to whoever is at its end: a virtual machine's kernel.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any, Coroutine, List, Sequence, Tuple

from bumble import hci
from bumble.controller import Controller
from bumble.core import UUID, AdvertisingData, PhysicalTransport
from bumble.device import Device
from bumble.gatt import Characteristic, Service
from bumble.link import LocalLink
from bumble.transport import open_transport
from bumble.transport.common import Transport

from tests.device_help import measurement

HEART_RATE_SERVICE = 0x180D
HEART_RATE_MEASUREMENT = 0x2A37
NAME = "HRD STRAP 1"
ADDRESS = "F0:F1:F2:F3:F4:F5"
TOLD_EACH_S = 1.0
TICKS_HZ = 1024
"""Of the intervals that are told."""

_ADVERTISED_EACH_MS = 200.0


@dataclass(frozen=True)
class Told:
    """One notification: ``bpm`` and the intervals between the beats since the one before it."""

    bpm: int
    intervals_ms: Tuple[float, ...]


class EmulatedStrap:
    """A strap on a heart with ``intervals_s`` between its beats, over and over, which are told once
    a second while somebody listens; ``told`` is all that was sent.

    ``plug`` joins the controller of whoever is to hear it to the same radio.
    """

    def __init__(self, intervals_s: Sequence[float]) -> None:
        self.told: List[Told] = []
        self.connections = 0
        self._beats = _Beats(intervals_s)
        self._radio = _Radio()
        self._transports: List[Transport] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="radio", daemon=True)
        self._thread.start()
        self._do(self._put_on())

    def plug(self, spec: str) -> None:
        """Give a controller to whoever is at the end of one of bumble's transports."""
        self._do(self._plug(spec))

    def walk_away(self) -> None:
        """Out of reach: the connection times out, and nothing is advertised."""
        self._do(self._walk_away())

    def come_back(self) -> None:
        """Within reach again."""
        self._do(self._advertise())

    def close(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(30.0)

    async def _put_on(self) -> None:
        controller = Controller("strap", link=self._radio)
        self._device = Device.with_hci(NAME, hci.Address(ADDRESS), controller, controller)
        self._measurement: Any = Characteristic(
            UUID.from_16_bits(HEART_RATE_MEASUREMENT),
            Characteristic.Properties.NOTIFY,
            Characteristic.READABLE,
        )
        self._device.add_service(
            Service(UUID.from_16_bits(HEART_RATE_SERVICE), [self._measurement])
        )
        self._device.on(Device.EVENT_CONNECTION, self._count)
        await self._device.power_on()
        await self._advertise()
        self._telling = asyncio.ensure_future(self._tell())

    def _count(self, connection: Any) -> None:
        self.connections += 1

    async def _advertise(self) -> None:
        said = [
            (AdvertisingData.FLAGS, bytes([0x06])),
            (
                AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
                HEART_RATE_SERVICE.to_bytes(2, "little"),
            ),
            (AdvertisingData.COMPLETE_LOCAL_NAME, NAME.encode()),
        ]
        await self._device.start_advertising(
            advertising_data=bytes(AdvertisingData(said)),
            advertising_interval_min=_ADVERTISED_EACH_MS,
            advertising_interval_max=_ADVERTISED_EACH_MS,
            auto_restart=True,
        )

    async def _plug(self, spec: str) -> None:
        transport = await open_transport(spec)
        self._transports.append(transport)
        _MachinesController(
            "machine",
            host_source=transport.source,
            host_sink=transport.sink,
            link=self._radio,
            public_address="00:1A:7D:DA:71:13",
        )

    async def _walk_away(self) -> None:
        await self._device.stop_advertising()
        self._radio.break_all_connections()

    async def _end(self) -> None:
        self._telling.cancel()
        for transport in self._transports:
            await transport.close()

    async def _tell(self) -> None:
        server = self._device.gatt_server
        while True:
            await asyncio.sleep(TOLD_EACH_S)
            one = self._beats.within(TOLD_EACH_S)
            heard = any(
                handles.get(self._measurement.handle, b"\0\0")[0] & 1
                for handles in server.subscribers.values()
            )
            if heard:
                self.told.append(one)
                data = measurement(one.bpm, [ms / 1000.0 for ms in one.intervals_ms])
                await self._device.notify_subscribers(self._measurement, data)


class _Beats:
    """A heart with given intervals between its beats, over and over."""

    def __init__(self, intervals_s: Sequence[float]) -> None:
        self._ticks = [round(TICKS_HZ * one) for one in intervals_s]
        self._count = 0
        self._next_in_s = 0.0

    def within(self, seconds: float) -> Told:
        """What the next so many seconds have."""
        new = []
        self._next_in_s -= seconds
        while self._next_in_s <= 0.0:
            new.append(self._ticks[self._count % len(self._ticks)])
            self._count += 1
            self._next_in_s += new[-1] / TICKS_HZ
        newest = self._ticks[(self._count - 1) % len(self._ticks)]
        bpm = round(60.0 * TICKS_HZ / newest)
        return Told(bpm, tuple(1000.0 * tick / TICKS_HZ for tick in new))


class _Radio(LocalLink):
    """bumble's link, whose data also come from a central with a public address."""

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        receiver = self.find_le_controller(destination_address)
        connection = sender_controller.le_connections.get(destination_address)
        if receiver is not None and connection is not None:
            source = connection.self_address
            asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, source, transport, data)

    def break_all_connections(self) -> None:
        """As when a device goes out of reach: both ends find nobody there."""
        for controller in self.controllers:
            for connection in list(controller.le_connections.values()):
                controller.on_le_disconnected(
                    connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR
                )


class _MachinesController(Controller):
    """bumble's controller, as Linux knows controllers of its features: it tells of connections by
    the enhanced event, and one that nobody answers can be given up."""

    pending_le_connection: Any

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if isinstance(packet, hci.HCI_LE_Connection_Complete_Event):
            packet = hci.HCI_LE_Enhanced_Connection_Complete_Event(
                status=packet.status,
                connection_handle=packet.connection_handle,
                role=packet.role,
                peer_address_type=packet.peer_address_type,
                peer_address=packet.peer_address,
                local_resolvable_private_address=hci.Address.ANY,
                peer_resolvable_private_address=hci.Address.ANY,
                connection_interval=packet.connection_interval,
                peripheral_latency=packet.peripheral_latency,
                supervision_timeout=packet.supervision_timeout,
                central_clock_accuracy=packet.central_clock_accuracy,
            )
        super().send_hci_packet(packet)

    def on_hci_le_create_connection_cancel_command(
        self, command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        pending = self.pending_le_connection
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self.pending_le_connection = None
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=hci.Role.CENTRAL,
                peer_address_type=pending.peer_address.address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)
