/* A server as libmodbus's manual shows it: `libmodbus_server PORT`. Every register is there and holds its address. */
#include <modbus.h>
#include <stdint.h>

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    modbus_t *context = modbus_new_rtu(argv[1], 38400, 'N', 8, 2);
    modbus_mapping_t *registers = modbus_mapping_new(0, 0, 65536, 0);
    uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
    if (!context || !registers || modbus_set_slave(context, 1) || modbus_connect(context)) return 1;
    for (int address = 0; address < 65536; address++) registers->tab_registers[address] = address;
    for (;;) {
        int length = modbus_receive(context, request);
        if (length > 0) modbus_reply(context, request, length, registers);
    }
}
