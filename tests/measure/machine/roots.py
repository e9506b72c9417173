"""Folders that look like the root of a machine's file system, with what real ones hold."""

from collections.abc import Mapping
from pathlib import Path

# A Jetson Orin Nano developer kit in its Super mode, with JetPack 6.2, in the forms that its users show in public.
ORIN_NANO = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
    "DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n",
    "var/lib/dpkg/status": "Package: nvidia-jetpack-dev\nStatus: install ok installed\nVersion: 9.9+b1\n\n"
    "Package: nvidia-jetpack\nStatus: install ok installed\nPriority: standard\nSource: nvidia-jetpack (6.2)\n"
    "Version: 6.2+b77\n\nPackage: zlib1g\nStatus: install ok installed\nVersion: 1:1.2.11\n",
    "etc/nvpmodel.conf": "< PM_CONFIG DEFAULT=2 >\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
    "< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
    "var/lib/nvpmodel/status": "pmode:0002",
    "dev/nvgpu": "",
    "dev/nvmap": "",
    "sys/class/devfreq/17000000.gpu/cur_freq": "1020000000\n",
    "sys/class/devfreq/3d00000.memory-controller/cur_freq": "3199000000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1728000\n",
    "sys/devices/system/cpu/cpu4/cpufreq/scaling_cur_freq": "729600\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "51093\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "49343\n",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",  # asleep: reading its temperature is an error
    "sys/class/thermal/thermal_zone8/type": "tj-thermal\n",
    "sys/class/thermal/thermal_zone8/temp": "52000\n",
    "sys/class/hwmon/hwmon1/name": "ina3221\n",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN\n",
    "sys/class/hwmon/hwmon1/in1_input": "5040\n",
    "sys/class/hwmon/hwmon1/curr1_input": "1250\n",
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV\n",
    "sys/class/hwmon/hwmon1/in2_input": "5032\n",
    "sys/class/hwmon/hwmon1/curr2_input": "480\n",
    "sys/class/hwmon/hwmon1/in3_label": "VDD_SOC\n",
    "sys/class/hwmon/hwmon1/in3_input": "5032\n",
    "sys/class/hwmon/hwmon1/curr3_input": "320\n",
}

# A Raspberry Pi 5 after a time of under-voltage: a stand-in, in the forms that its users show in public.
RASPBERRY_PI = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "81350\n",
}

# A workstation: AMD's processor, an SSD that is hotter, one NVIDIA GPU with the driver's two devices on the bus.
WORKSTATION = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD Ryzen 7 7700X 8-Core Processor\ncpu MHz\t\t: 4500.000\n",
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  "
    "Release Build  (dvs-builder@U22-I3-AM02)  Sun Jul 27 06:54:38 UTC 2025\nGCC version:  gcc version 12.3.0\n",
    "dev/nvidiactl": "",
    "dev/nvidia0": "",
    "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
    "sys/bus/pci/devices/0000:01:00.0/class": "0x030000\n",
    "sys/bus/pci/devices/0000:01:00.1/vendor": "0x10de\n",
    "sys/bus/pci/devices/0000:01:00.1/class": "0x040300\n",
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "93000\n",
    "sys/class/hwmon/hwmon0/name": "nvme\n",
    "sys/class/hwmon/hwmon0/temp1_input": "71850\n",
    "sys/class/hwmon/hwmon3/name": "k10temp\n",
    "sys/class/hwmon/hwmon3/temp1_label": "Tctl\n",
    "sys/class/hwmon/hwmon3/temp1_input": "64500\n",
    "sys/class/hwmon/hwmon3/temp2_label": "Tdie\n",
    "sys/class/hwmon/hwmon3/temp2_input": "44500\n",
    "sys/class/hwmon/hwmon3/temp3_label": "Tccd1\n",
    "sys/class/hwmon/hwmon3/temp3_input": "46250\n",
}


def root(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files under a folder."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder
